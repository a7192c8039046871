// axios with the form-data package; as in most guides on uploading from Node.
import axios from 'axios';
import FormData from 'form-data';
import { file, message, metadata, report, signedForm, signedJson, url } from './homework.mjs';

const form = new FormData();
form.append('metadata', metadata);
form.append('files', file.content, { filename: file.name });

const client = axios.create({ validateStatus: () => true, responseType: 'text', proxy: false });
const send = async (headers, body) => {
  const answer = await client.post(url, body, { headers });
  report(answer.status, answer.data);
};
await send(signedJson, message);
await send({ ...signedForm, ...form.getHeaders() }, form);
