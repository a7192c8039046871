// got, with the form-data package and with a FormData of the platform.
import got from 'got';
import NodeForm from 'form-data';
import { file, message, metadata, report, signedForm, signedJson, url } from './homework.mjs';

const own = new FormData();
own.set('metadata', metadata);
own.append('files', new Blob([file.content]), file.name);
const streamed = new NodeForm();
streamed.append('metadata', metadata);
streamed.append('files', file.content, file.name);

const send = async (headers, body) => {
  const answer = await got.post(url, { headers, body, throwHttpErrors: false, retry: { limit: 0 } });
  report(answer.statusCode, answer.body);
};
await send(signedJson, message);
await send(signedForm, own);
await send({ ...signedForm, ...streamed.getHeaders() }, streamed);
