import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import software.amazon.awssdk.core.async.AsyncRequestBody;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.services.s3.S3AsyncClient;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.NoSuchKeyException;
import software.amazon.awssdk.services.s3.model.S3Exception;
import software.amazon.awssdk.services.s3.model.S3Object;
import software.amazon.awssdk.services.s3.presigner.S3Presigner;
import software.amazon.awssdk.services.sts.StsClient;
import software.amazon.awssdk.transfer.s3.S3TransferManager;

/**
 * javasdk BUCKET CLOSED SOURCE COPY: AWS's SDK for Java as a program without any configuration
 * calls it. tests/e2e/clients/README.md says what it does and prints.
 */
public final class Main {
  private static final String LARGE = "javasdk/large +ü";
  private static final long PART_BYTES = 5L << 20;

  public static void main(String[] arguments) throws IOException {
    String bucket = arguments[0];
    try (S3Client client = S3Client.create()) {
      String greeting = putAndGet(client, bucket);
      client.putObject(r -> r.bucket(bucket).key("javasdk/whole"), Path.of(arguments[2]));
      transfer(bucket, Path.of(arguments[2]), Path.of(arguments[3]));
      long size = client.headObject(r -> r.bucket(bucket).key(LARGE)).contentLength();
      client.deleteObject(r -> r.bucket(bucket).key("javasdk/gone"));
      List<String> keys = client
          .listObjectsV2Paginator(r -> r.bucket(bucket).prefix("javasdk/").maxKeys(1))
          .contents().stream().map(S3Object::key).toList();
      String missing = described(() -> client.getObject(r -> r.bucket(bucket).key("javasdk/gone")));
      String denied = described(() -> client.listObjectsV2(r -> r.bucket(arguments[1])));
      new PrintStream(System.out, true, StandardCharsets.UTF_8).printf(
          "{\"arn\": %s, \"greeting\": %s, \"size\": %d, \"keys\": [%s], \"presigned\": %s, "
              + "\"missing\": %s, \"denied\": %s}%n",
          quoted(arn()), quoted(greeting), size,
          keys.stream().map(Main::quoted).collect(Collectors.joining(", ")),
          quoted(presigned(bucket)), quoted(missing), quoted(denied));
    }
  }

  private static String arn() {
    if (System.getenv("AWS_ENDPOINT_URL_STS") == null) {
      return "";
    }
    try (StsClient client = StsClient.create()) {
      return client.getCallerIdentity().arn();
    }
  }

  private static String putAndGet(S3Client client, String bucket) {
    for (String key : List.of("javasdk/small", "javasdk/gone")) {
      client.putObject(r -> r.bucket(bucket).key(key), RequestBody.fromString("hello"));
    }
    return client.getObjectAsBytes(r -> r.bucket(bucket).key("javasdk/small")).asUtf8String();
  }

  /** Uploads a stream of unknown length, in parts, and downloads it. */
  private static void transfer(String bucket, Path source, Path copy) throws IOException {
    ExecutorService executor = Executors.newSingleThreadExecutor();
    try (S3AsyncClient client = S3AsyncClient.builder()
            .multipartEnabled(true)
            .multipartConfiguration(c -> c.minimumPartSizeInBytes(PART_BYTES))
            .build();
        S3TransferManager manager = S3TransferManager.builder().s3Client(client).build();
        InputStream stream = Files.newInputStream(source)) {
      manager.upload(u -> u
          .putObjectRequest(r -> r.bucket(bucket).key(LARGE))
          .requestBody(AsyncRequestBody.fromInputStream(stream, null, executor)))
          .completionFuture().join();
      manager.downloadFile(d -> d
          .getObjectRequest(r -> r.bucket(bucket).key(LARGE)).destination(copy))
          .completionFuture().join();
    } finally {
      executor.shutdown();
    }
  }

  private static String presigned(String bucket) {
    try (S3Presigner presigner = S3Presigner.create()) {
      return presigner.presignGetObject(p -> p
          .signatureDuration(Duration.ofMinutes(5))
          .getObjectRequest(r -> r.bucket(bucket).key(LARGE))).url().toString();
    }
  }

  /** Names an error by the SDK's own classes: class, code and status. */
  private static String described(Runnable call) {
    try {
      call.run();
      return "no error";
    } catch (S3Exception error) {
      String kind = error instanceof NoSuchKeyException ? "NoSuchKey" : "S3Exception";
      return kind + " " + error.awsErrorDetails().errorCode() + " " + error.statusCode();
    }
  }

  /** As a JSON string: none of the values has a character that needs more. */
  private static String quoted(String text) {
    return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
  }
}
