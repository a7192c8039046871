// undici's request, with the FormData that it brings.
import { FormData, request } from 'undici';
import { file, message, metadata, report, signedForm, signedJson, url } from './homework.mjs';

const form = new FormData();
form.set('metadata', metadata);
form.append('files', new File([file.content], file.name));

const send = async (headers, body) => {
  const answer = await request(url, { method: 'POST', headers, body });
  report(answer.statusCode, await answer.body.text());
};
await send(signedJson, message);
await send(signedForm, form);
