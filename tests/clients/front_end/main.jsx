// The sample page as the main app mounts it, twice under StrictMode; what came of it is in #seen.
import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import AuthCallback, { createSession } from '../../../docs/samples/AuthCallback.jsx';

const { apiUrl } = document.body.dataset;

// What whoever comes back to the page is told, after the one who signed in.
async function comeBack() {
  const place = document.createElement('div');
  createRoot(place).render(
    <AuthCallback apiUrl={apiUrl} onSignedIn={() => place.replaceChildren('signed in')} />,
  );
  await new Promise((resolve) => setTimeout(resolve, 500));
  return place.textContent;
}

async function look(session) {
  const request = createSession(window.location.origin, session);
  const answers = await Promise.all([request('/api/first'), request('/api/second')]);
  return {
    ...session,
    address: window.location.href,
    stored: localStorage.length + sessionStorage.length,
    exchanges: performance.getEntriesByName(`${apiUrl}/spark/token`).length,
    statuses: answers.map((answer) => answer.status),
    again: await comeBack(),
  };
}

function Page() {
  const [seen, setSeen] = useState(null);
  if (seen) return <pre id="seen">{JSON.stringify(seen)}</pre>;
  return <AuthCallback apiUrl={apiUrl} onSignedIn={(session) => look(session).then(setSeen)} />;
}

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
// Of a page that shows a failure, too.
setTimeout(() => {
  document.title = window.location.href;
}, 1000);
