// gosdk BUCKET CLOSED SOURCE COPY: AWS's SDK for Go as a program without any configuration calls
// it. tests/e2e/clients/README.md says what it does and prints.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

type seen struct {
	Arn       string   `json:"arn"`
	Greeting  string   `json:"greeting"`
	Size      int64    `json:"size"`
	Keys      []string `json:"keys"`
	Presigned string   `json:"presigned"`
	Missing   string   `json:"missing"`
	Denied    string   `json:"denied"`
}

// must ends the program: none of these calls may fail.
func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	bucket, closed, source, copied := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	ctx := context.Background()
	settings := must(config.LoadDefaultConfig(ctx))
	client := s3.NewFromConfig(settings)
	var found seen

	if os.Getenv("AWS_ENDPOINT_URL_STS") != "" {
		identity := must(sts.NewFromConfig(settings).GetCallerIdentity(ctx, nil))
		found.Arn = aws.ToString(identity.Arn)
	}

	for _, key := range []string{"small", "gone"} {
		must(client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &bucket, Key: aws.String("gosdk/" + key), Body: strings.NewReader("hello"),
		}))
	}
	small := must(client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("gosdk/small")}))
	found.Greeting = string(must(io.ReadAll(small.Body)))

	transfer(ctx, client, bucket, source, copied)
	head := must(client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("gosdk/large +ü")}))
	found.Size = aws.ToInt64(head.ContentLength)

	must(client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("gosdk/gone")}))
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{
		Bucket: &bucket, Prefix: aws.String("gosdk/"), MaxKeys: aws.Int32(1),
	})
	for pages.HasMorePages() {
		for _, object := range must(pages.NextPage(ctx)).Contents {
			found.Keys = append(found.Keys, aws.ToString(object.Key))
		}
	}
	presigned := must(s3.NewPresignClient(client).PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: &bucket, Key: aws.String("gosdk/large +ü"),
	}))
	found.Presigned = presigned.URL

	_, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("gosdk/gone")})
	found.Missing = described(err)
	_, err = client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &closed})
	found.Denied = described(err)
	fmt.Println(string(must(json.Marshal(found))))
}

// transfer uploads a file in one request, then as a stream that cannot be read twice, in parts; the
// latter it downloads.
func transfer(ctx context.Context, client *s3.Client, bucket, source, copied string) {
	manager := transfermanager.New(client, func(options *transfermanager.Options) {
		options.PartSizeBytes = 5 << 20
		options.MultipartUploadThreshold = 5 << 20
	})
	file := must(os.Open(source))
	defer file.Close()
	must(client.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("gosdk/whole"), Body: file}))
	stream := must(os.Open(source))
	defer stream.Close()
	must(manager.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &bucket, Key: aws.String("gosdk/large +ü"), Body: struct{ io.Reader }{stream},
	}))
	target := must(os.Create(copied))
	defer target.Close()
	must(manager.DownloadObject(ctx, &transfermanager.DownloadObjectInput{
		Bucket: &bucket, Key: aws.String("gosdk/large +ü"), WriterAt: target,
	}))
}

// described names an error by the SDK's own types: kind, code and status.
func described(err error) string {
	var missing *types.NoSuchKey
	var refused smithy.APIError
	var response *awshttp.ResponseError
	if !errors.As(err, &refused) || !errors.As(err, &response) {
		return fmt.Sprint(err)
	}
	kind := "APIError"
	if errors.As(err, &missing) {
		kind = "NoSuchKey"
	}
	return fmt.Sprintf("%s %s %d", kind, refused.ErrorCode(), response.HTTPStatusCode())
}
