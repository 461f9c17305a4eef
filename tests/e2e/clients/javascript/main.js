// jssdk BUCKET CLOSED SOURCE COPY: AWS's SDK for JavaScript as a program without any
// configuration calls it. tests/e2e/clients/README.md says what it does and prints.
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, NoSuchKey, PutObjectCommand,
  S3Client, S3ServiceException, paginateListObjectsV2 } from "@aws-sdk/client-s3";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const [bucket, closed, source, copied] = process.argv.slice(2);
const client = new S3Client({});
const at = (key) => ({ Bucket: bucket, Key: `jssdk/${key}` });

/** Names an error by the SDK's own classes: class, code and status. */
async function described(call) {
  try {
    await call;
  } catch (error) {
    if (!(error instanceof S3ServiceException)) throw error;
    const kind = error instanceof NoSuchKey ? "NoSuchKey" : "S3ServiceException";
    return `${kind} ${error.name} ${error.$metadata.httpStatusCode}`;
  }
  return "no error";
}

const { Arn = "" } = process.env.AWS_ENDPOINT_URL_STS
  ? await new STSClient({}).send(new GetCallerIdentityCommand({}))
  : {};

for (const key of ["small", "gone"]) {
  await client.send(new PutObjectCommand({ ...at(key), Body: "hello" }));
}
const small = await client.send(new GetObjectCommand(at("small")));
const greeting = await small.Body.transformToString();

// A file in one request; then a stream that cannot be read twice, in parts.
await client.send(new PutObjectCommand({ ...at("whole"), Body: createReadStream(source) }));
const large = at("large +ü");
await new Upload({ client, params: { ...large, Body: createReadStream(source) }, partSize: 5 * 1024 * 1024 }).done();
await pipeline((await client.send(new GetObjectCommand(large))).Body, createWriteStream(copied));
const { ContentLength } = await client.send(new HeadObjectCommand(large));

await client.send(new DeleteObjectCommand(at("gone")));
const keys = [];
for await (const page of paginateListObjectsV2({ client, pageSize: 1 }, { Bucket: bucket, Prefix: "jssdk/" })) {
  keys.push(...(page.Contents ?? []).map((object) => object.Key));
}

console.log(JSON.stringify({
  arn: Arn,
  greeting,
  size: ContentLength,
  keys,
  presigned: await getSignedUrl(client, new GetObjectCommand(large)),
  missing: await described(client.send(new GetObjectCommand(at("gone")))),
  denied: await described(client.send(new ListObjectsV2Command({ Bucket: closed }))),
}));
