// What every client here sends: the test signed it, and the client's own defaults do the rest.
export const url = process.env.OPTIO_URL;
export const message = process.env.MESSAGE;
export const metadata = process.env.METADATA;
export const signedJson = {
  'X-Spark-Signature': process.env.MESSAGE_SIGNATURE,
  'Content-Type': 'application/json',
};
export const signedForm = { 'X-Spark-Signature': process.env.METADATA_SIGNATURE };
export const file = { name: process.env.FILE_NAME, content: Buffer.from(process.env.FILE_CONTENT) };
export const report = (status, body) => console.log(`${status} ${body.replaceAll('\n', ' ')}`);
