// The page that a student's click in Spark ends on: /auth/callback?code=… becomes a session.
//
//   <AuthCallback apiUrl={import.meta.env.VITE_API_URL} onSignedIn={(session) => …} />
//
// One code is exchanged once: a second exchange is refused, and ends the session of the first. So
// the exchange belongs to the module and not to the component, which StrictMode mounts twice. The
// code is out of the address before anything else happens, and tokens are kept in memory alone: in
// what `onSignedIn` is given, and no more here, or the next to come back to this page had them.
import { useEffect, useState } from 'react';

const TIMEOUT_MS = 30_000;

// What the student can do. Every other failure of the service is told as `unavailable`.
const ADVICE = {
  code_missing: 'This page is opened by the link in Spark. Go back to Spark and click it again.',
  code_invalid: 'This link does not work any more. Go back to Spark and click it again.',
  code_used: 'This link was used already. Go back to Spark and click it again.',
  code_expired: 'That took longer than a minute. Go back to Spark and click the link again.',
  rate_limited: 'Too many sign-ins at once. Wait a minute, then click the link in Spark again.',
  unavailable: 'Signing in does not work right now. Wait a minute, then click the link in Spark again.',
};

export class SignInError extends Error {
  constructor(code, requestId) {
    super(ADVICE[code] ?? ADVICE.unavailable);
    this.code = code;
    this.requestId = requestId;
  }
}

let taken; // the exchange of the code that this page was opened with last, until it is handed over

// The code of the address, which does not have it from here on: not in the history, not in a
// Referer, and not for whatever reads the address later.
function takeCode() {
  const address = new URL(window.location.href);
  const code = address.searchParams.get('code');
  if (code !== null) {
    address.searchParams.delete('code');
    window.history.replaceState(window.history.state, '', address);
  }
  return code;
}

async function exchange(apiUrl, code) {
  if (!code) throw new SignInError('code_missing');
  let response;
  let body;
  try {
    response = await fetch(`${apiUrl}/spark/token`, {
      method: 'POST',
      credentials: 'include', // for the cookies, where both have one host name
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ code }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    body = await response.json();
  } catch {
    // Never tried again: whether the service has taken the code is not known.
    throw new SignInError('unavailable');
  }
  if (!response.ok) throw new SignInError(body.code, body.request_id);
  return {
    userId: body.user_id,
    accessToken: body.app_access_token,
    refreshToken: body.app_refresh_token,
  };
}

// The same promise for every mount of one visit; another visit brings another code.
function signIn(apiUrl) {
  const code = takeCode();
  if (!taken || code !== null) taken = exchange(apiUrl, code);
  return taken;
}

// The session in memory, and requests with it. This service has no refresh route: the main app's
// own (`/api/auth/refresh`) takes the refresh token. Of requests that are refused at once, one
// refreshes and all wait for it.
export function createSession(mainAppUrl, { accessToken, refreshToken }) {
  let refreshing;

  async function refresh() {
    const response = await fetch(`${mainAppUrl}/api/auth/refresh`, {
      method: 'POST',
      credentials: 'include',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ refresh_token: refreshToken }),
    });
    if (!response.ok) throw new SignInError('code_invalid');
    const body = await response.json();
    accessToken = body.access_token;
    refreshToken = body.refresh_token ?? refreshToken;
  }

  const ask = (path, options) =>
    fetch(`${mainAppUrl}${path}`, {
      ...options,
      credentials: 'include',
      headers: { ...options.headers, Authorization: `Bearer ${accessToken}` },
    });

  return async function request(path, options = {}) {
    const sent = accessToken;
    const response = await ask(path, options);
    if (response.status !== 401) return response;
    if (sent === accessToken) {
      refreshing ??= refresh().finally(() => {
        refreshing = undefined;
      });
      await refreshing;
    }
    return ask(path, options);
  };
}

export default function AuthCallback({ apiUrl, onSignedIn }) {
  const [failure, setFailure] = useState(null);

  useEffect(() => {
    let isHere = true;
    signIn(apiUrl).then(
      (session) => {
        if (!isHere) return;
        taken = undefined;
        onSignedIn(session);
      },
      (error) => isHere && setFailure(error),
    );
    return () => {
      isHere = false;
    };
    // eslint-disable-next-line react-hooks/exhaustive-deps -- once for each visit
  }, []);

  if (!failure) return <p role="status">Signing you in…</p>;
  return (
    <div role="alert">
      <p>{failure.message}</p>
      {failure.requestId && <p>If you ask for help, name this number: {failure.requestId}</p>}
    </div>
  );
}
