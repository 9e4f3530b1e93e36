// Calls a tool as a client without sampling, with version 1 of the official
// TypeScript SDK.
//
//   node typescript1.mjs URL legacy TOOL ARGUMENTS
//
// A URL that ends with /sse is one of HTTP+SSE.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, , name, args] = process.argv.slice(2);
const client = new Client({ name: 'caller', version: '1.0.0' });
const Transport = url.endsWith('/sse') ? SSEClientTransport : StreamableHTTPClientTransport;
await client.connect(new Transport(new URL(url)));
const result = await client.callTool({ name, arguments: JSON.parse(args) });
console.log(result.content[0].text);
await client.close();
