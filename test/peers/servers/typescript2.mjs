// A server with version 2 of the official TypeScript SDK, which serves the
// stateless era by one handler and the session era by another.
//
//   node typescript2.mjs http|stdio [PORT]
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import { createMcpHandler, inputRequired, inputResponse, isLegacyRequest, McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { z } from 'zod';

const [transport, port] = process.argv.slice(2);
const say = (text) => ({ content: [{ type: 'text', text }] });
const question = (text) => ({
  messages: [{ role: 'user', content: { type: 'text', text } }],
  maxTokens: 100,
});

function make() {
  const server = new McpServer({ name: 'typescript-sdk-2', version: '2.0.0' });
  const inputSchema = z.object({ text: z.string() });
  server.registerTool('echo', { inputSchema }, ({ text }) => say(text));
  // One handler for both eras: in the session era the SDK asks the caller.
  server.registerTool('one_round', { inputSchema }, ({ text }, ctx) => {
    const answer = inputResponse(ctx.mcpReq.inputResponses, 'answer');
    if (answer.kind === 'sampling') return say(answer.result.content.text);
    return inputRequired({ inputRequests: { answer: inputRequired.createMessage(question(text)) } });
  });
  server.registerTool('two_rounds', { inputSchema }, ({ text }, ctx) => {
    const first = inputResponse(ctx.mcpReq.inputResponses, 'first');
    const second = inputResponse(ctx.mcpReq.inputResponses, 'second');
    if (second.kind === 'sampling') return say(`${ctx.mcpReq.requestState()}: ${second.result.content.text}`);
    const [key, next] = first.kind === 'sampling' ? ['second', first.result.content.text] : ['first', text];
    return inputRequired({
      inputRequests: { [key]: inputRequired.createMessage(question(next)) },
      requestState: `${key} asked`,
    });
  });
  return server;
}

const modern = toNodeHandler(createMcpHandler(make, { legacy: 'reject' }));
const sessions = new Map();

async function legacy(request, response, body) {
  const id = request.headers['mcp-session-id'];
  let session = sessions.get(id);
  if (id && !session) return response.writeHead(404).end();
  if (!session) {
    session = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (made) => sessions.set(made, session),
    });
    await make().connect(session);
  }
  await session.handleRequest(request, response, body);
}

async function http(request, response) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const body = text ? JSON.parse(text) : undefined;
  const isLegacy = await isLegacyRequest(await toWebRequest(request, body), body);
  await (isLegacy ? legacy : modern)(request, response, body);
}

if (transport === 'stdio') serveStdio(make);
else createServer(http).listen(Number(port), '127.0.0.1');
