// Node's own fetch, with FormData and a Blob.
import { file, message, metadata, report, signedForm, signedJson, url } from './homework.mjs';

const form = new FormData();
form.set('metadata', metadata);
form.append('files', new Blob([file.content]), file.name);

const send = async (headers, body) => {
  const answer = await fetch(url, { method: 'POST', headers, body });
  report(answer.status, await answer.text());
};
await send(signedJson, message);
await send(signedForm, form);
