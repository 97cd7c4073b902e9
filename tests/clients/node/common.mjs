// What the scripts share: the official clients, and waiting that has an end.

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

/** Nothing may take longer than ten seconds. */
export const within = (promise) =>
  Promise.race([promise, pause(10_000).then(() => Promise.reject(new Error('WAITED IN VAIN')))]);

/** What became of a promise: its value, or that it was rejected; never that it hung. */
export const outcome = (promise) =>
  within(promise).then(
    (value) => value,
    (error) => (error.message === 'WAITED IN VAIN' ? error.message : 'rejected')
  );
