// Calls a tool as a client without sampling, with version 2 of the official
// TypeScript SDK.
//
//   node typescript2.mjs URL legacy|modern TOOL ARGUMENTS
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, era, name, args] = process.argv.slice(2);
const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy';
const client = new Client({ name: 'caller', version: '1.0.0' }, { versionNegotiation: { mode } });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const result = await client.callTool({ name, arguments: JSON.parse(args) });
console.log(result.content[0].text);
await client.close();
