// Shared by the scripts: the official clients, and waits with a time limit.

/** The classes of one of the official clients. */
export const sdk = async (version) =>
  version === 'v1'
    ? {
        ...(await import('@modelcontextprotocol/sdk/client/index.js')),
        ...(await import('@modelcontextprotocol/sdk/client/streamableHttp.js'))
      }
    : await import('@modelcontextprotocol/client');

export const call = (client, name) =>
  client.callTool({ name, arguments: {} }).then((result) => result.content[0].text);

export const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

/** Rejects after ten seconds. */
export const within = (promise) =>
  Promise.race([promise, pause(10_000).then(() => Promise.reject(new Error('TIMED OUT')))]);

/** The outcome of a promise: its value, or that it was rejected or timed out. */
export const outcome = (promise) =>
  within(promise).then(
    (value) => value,
    (error) => (error.message === 'TIMED OUT' ? error.message : 'rejected')
  );
