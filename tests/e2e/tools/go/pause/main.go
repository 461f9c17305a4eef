// Pause is the first process of every pod: it holds the pod's namespaces open until it is told
// to stop. It stands in for the image that a cluster would otherwise pull.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
