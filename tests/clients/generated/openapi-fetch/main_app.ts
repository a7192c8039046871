// The main app's side: asks for a session, reads and saves evidence, is refused, and adds a file.
import { openAsBlob } from 'node:fs';
import createClient from 'openapi-fetch';
import type { components, paths } from './client/schema.js';

const { OPTIO_URL, OPTIO_KEY } = process.env as Record<string, string>;
const [token, user_id, task_id, completion_id, picture] = process.argv.slice(2) as [string, string, string, string, string];
const optio = createClient<paths>({ baseUrl: OPTIO_URL!, headers: { Authorization: `Bearer ${OPTIO_KEY}` } });

const active = await optio.POST('/internal/v1/sessions/introspect', { body: { token } });
const unknown = await optio.POST('/internal/v1/sessions/introspect', { body: { token: 'garbage' } });
const completion = '/internal/v1/completions/{completion_id}';
const completed = await optio.GET(completion, { params: { path: { completion_id } } });
const nobody = { completion_id: '00000000-0000-0000-0000-000000000000' };
const missing = await optio.GET(completion, { params: { path: nobody } });

const documents = '/internal/v1/evidence/documents/{task_id}';
const params = { path: { task_id }, query: { user_id } };
const read = await optio.GET(documents, { params });
const body: components['schemas']['EvidenceToSave'] = {
  blocks: [...read.data!.blocks, { type: 'image', content: { alt: 'A rain gauge' } }],
  version: read.data!.version,
};
const saved = await optio.PUT(documents, { params, body });
const stale = await optio.PUT(documents, { params, body });
const form = new FormData();
form.append('file', await openAsBlob(picture), 'gauge.png');
const uploaded = await optio.POST('/internal/v1/evidence/blocks/{block_id}/upload', {
  params: { path: { block_id: saved.data!.blocks[read.data!.blocks.length]!.id }, query: { user_id } },
  body: { file: '' },
  bodySerializer: () => form,
});
const shown = await optio.GET(documents, { params });

console.log(JSON.stringify({
  active: [active.data?.active, active.data?.user_id],
  unknown: unknown.data?.active,
  completed: [
    completed.data?.xp_awarded,
    Math.floor(Date.parse(completed.data!.completed_at) / 1000),
    completed.data?.blocks.map(({ block_type }) => block_type),
    completed.data?.files.map(({ size_bytes }) => size_bytes),
  ],
  missing: missing.error?.code,
  read: read.data?.blocks.map(({ block_type, provenance }) => [block_type, provenance.written_by]),
  saved: saved.data?.status,
  stale: stale.error?.code,
  uploaded: uploaded.data?.file_size,
  shown: shown.data?.blocks.map(({ block_type, provenance }) => [block_type, provenance.written_by]),
}));
