// A server with version 1 of the official TypeScript SDK.
//
//   node typescript1.mjs http|sse|stdio [PORT]
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CreateMessageResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

const [transport, port] = process.argv.slice(2);
const say = (text) => ({ content: [{ type: 'text', text }] });
const question = (text) => ({
  messages: [{ role: 'user', content: { type: 'text', text } }],
  maxTokens: 100,
});

function make() {
  const server = new McpServer({ name: 'typescript-sdk-1', version: '1.0.0' });
  const inputSchema = { text: z.string() };
  server.registerTool('echo', { inputSchema }, ({ text }) => say(text));
  // On the stream of the call.
  server.registerTool('ask', { inputSchema }, async ({ text }, { sendRequest }) => {
    const request = { method: 'sampling/createMessage', params: question(text) };
    return say((await sendRequest(request, CreateMessageResultSchema)).content.text);
  });
  // On the session's own stream.
  server.registerTool('ask_on_get', { inputSchema }, async ({ text }) =>
    say((await server.server.createMessage(question(text))).content.text),
  );
  return server;
}

const sessions = new Map();

async function http(request, response) {
  const id = request.headers['mcp-session-id'];
  let session = sessions.get(id);
  if (id && !session) return response.writeHead(404).end();
  if (!session) {
    session = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (made) => sessions.set(made, session),
    });
    await make().connect(session);
  }
  await session.handleRequest(request, response);
}

async function sse(request, response) {
  const url = new URL(request.url, 'http://localhost');
  if (request.method === 'GET' && url.pathname === '/sse') {
    const session = new SSEServerTransport('/messages', response);
    sessions.set(session.sessionId, session);
    return make().connect(session);
  }
  const session = sessions.get(url.searchParams.get('sessionId'));
  return session ? session.handlePostMessage(request, response) : response.writeHead(404).end();
}

if (transport === 'stdio') await make().connect(new StdioServerTransport());
else createServer(transport === 'sse' ? sse : http).listen(Number(port), '127.0.0.1');
