// The main app's side: asks for a session, reads and saves evidence, is refused, and adds a file.
import { openAsBlob } from 'node:fs';
import { type BlockToSave, CompletionsApi, Configuration, EvidenceApi, type EvidenceToSave, ProblemFromJSON, ResponseError, SessionsApi } from './client/index.js';

const { OPTIO_URL, OPTIO_KEY } = process.env as Record<string, string>;
const [token, userId, taskId, completionId, picture] = process.argv.slice(2) as [string, string, string, string, string];
const optio = new Configuration({ basePath: OPTIO_URL!, accessToken: OPTIO_KEY! });
const sessions = new SessionsApi(optio);
const evidence = new EvidenceApi(optio);

// What a refusal says: the client throws it, with its answer.
async function refusal(answer: Promise<unknown>): Promise<string | null> {
  try {
    await answer;
    return null;
  } catch (error) {
    if (!(error instanceof ResponseError)) throw error;
    return ProblemFromJSON(await error.response.json()).code;
  }
}

const active = await sessions.introspectSession({ tokenToIntrospect: { token } });
const unknown = await sessions.introspectSession({ tokenToIntrospect: { token: 'garbage' } });
const completions = new CompletionsApi(optio);
const completed = await completions.getCompletion({ completionId });
const missing = await refusal(completions.getCompletion({ completionId: '00000000-0000-0000-0000-000000000000' }));

const read = await evidence.getEvidence({ taskId, userId });
const added: BlockToSave = { type: 'image', content: { alt: 'A rain gauge' } };
const evidenceToSave: EvidenceToSave = { blocks: [...read.blocks, added], version: read.version };
const saved = await evidence.putEvidence({ taskId, userId, evidenceToSave });
const stale = await refusal(evidence.putEvidence({ taskId, userId, evidenceToSave }));
const blockId = saved.blocks[read.blocks.length]!.id;
const file = new File([await openAsBlob(picture)], 'gauge.png');
const uploaded = await evidence.uploadEvidenceFile({ blockId, userId, file });
const shown = await evidence.getEvidence({ taskId, userId });

console.log(JSON.stringify({
  active: [active.active, active.userId],
  unknown: unknown.active,
  completed: [
    completed.xpAwarded,
    Math.floor(completed.completedAt.getTime() / 1000),
    completed.blocks.map(({ blockType }) => blockType),
    completed.files.map(({ sizeBytes }) => sizeBytes),
  ],
  missing,
  read: read.blocks.map(({ blockType, provenance }) => [blockType, provenance.writtenBy]),
  saved: saved.status,
  stale,
  uploaded: uploaded.fileSize,
  shown: shown.blocks.map(({ blockType, provenance }) => [blockType, provenance.writtenBy]),
}));
