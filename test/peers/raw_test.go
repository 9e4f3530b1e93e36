package peers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// exchange is what one request brought, as JSON: an SDK's types would hide what
// was lost on the way.
type exchange struct {
	Result, Error any
	// Notifications are those that came before the answer.
	Notifications []any
}

// rawCaller speaks JSON-RPC with one server.
type rawCaller interface {
	call(ctx context.Context, method string, params map[string]any) (exchange, error)
}

var callerInfo = map[string]any{"name": "raw", "version": "1"}

// handshake is the beginning of a session.
func handshake(ctx context.Context, c rawCaller, capabilities map[string]any) (version string, err error) {
	got, err := c.call(ctx, "initialize", map[string]any{
		"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": callerInfo,
	})
	if err != nil {
		return "", err
	}
	result, _ := got.Result.(map[string]any)
	version, _ = result["protocolVersion"].(string)
	if version == "" {
		return "", fmt.Errorf("initialize brought %v", got)
	}
	return version, nil
}

// httpCaller speaks Streamable HTTP, in either era.
type httpCaller struct {
	url, era     string
	client       *http.Client
	capabilities map[string]any

	session, version string
	lastID           int
}

// newHTTPCaller begins a session where the era has them.
func newHTTPCaller(t testing.TB, url, era string, capabilities map[string]any) *httpCaller {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c := &httpCaller{url: url, era: era, client: &http.Client{Transport: transport}, capabilities: capabilities}
	if era == modern {
		c.version = modernVersion
		return c
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	version, err := handshake(ctx, c, capabilities)
	if err != nil {
		t.Fatalf("initialize at %s: %v", url, err)
	}
	c.version = version
	response, err := c.post(ctx, map[string]any{"jsonrpc": "2.0", "method": "notifications/initialized"}, nil)
	if err != nil {
		t.Fatalf("notifications/initialized: %v", err)
	}
	_ = response.Body.Close()
	return c
}

func (c *httpCaller) call(ctx context.Context, method string, params map[string]any) (exchange, error) {
	c.lastID++
	message := map[string]any{"jsonrpc": "2.0", "id": c.lastID, "method": method}
	header := http.Header{}
	if c.era == modern {
		params = withMeta(params, c.capabilities)
		header.Set("Mcp-Method", method)
		for _, key := range []string{"name", "uri"} {
			if name, ok := params[key].(string); ok {
				header.Set("Mcp-Name", name)
			}
		}
	}
	if params != nil {
		message["params"] = params
	}
	response, err := c.post(ctx, message, header)
	if err != nil {
		return exchange{}, err
	}
	defer func() { _ = response.Body.Close() }()
	if method == "initialize" {
		c.session = response.Header.Get("Mcp-Session-Id")
	}
	return readExchange(response, c.lastID)
}

func (c *httpCaller) post(ctx context.Context, message map[string]any, header http.Header) (*http.Response, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for key := range header {
		request.Header.Set(key, header.Get(key))
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	if c.version != "" {
		request.Header.Set("Mcp-Protocol-Version", c.version)
	}
	if c.session != "" {
		request.Header.Set("Mcp-Session-Id", c.session)
	}
	return c.client.Do(request)
}

// withMeta adds what every request of the stateless era carries.
func withMeta(params, capabilities map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range params {
		out[k] = v
	}
	meta := map[string]any{}
	if given, ok := out["_meta"].(map[string]any); ok {
		for k, v := range given {
			meta[k] = v
		}
	}
	meta["io.modelcontextprotocol/protocolVersion"] = modernVersion
	meta["io.modelcontextprotocol/clientInfo"] = callerInfo
	meta["io.modelcontextprotocol/clientCapabilities"] = capabilities
	out["_meta"] = meta
	return out
}

func readExchange(response *http.Response, id int) (exchange, error) {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if kind != "text/event-stream" {
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return exchange{}, err
		}
		var got exchange
		if done, err := got.take(body, id); err != nil || !done {
			return exchange{}, fmt.Errorf("%s: %w: %.300s", response.Status, err, body)
		}
		return got, nil
	}
	var got exchange
	var data []string
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if value, ok := strings.CutPrefix(line, "data:"); ok {
			data = append(data, strings.TrimPrefix(value, " "))
		}
		if line != "" || len(data) == 0 {
			continue
		}
		event := strings.Join(data, "\n")
		data = nil
		if event == "" {
			continue
		}
		if done, err := got.take([]byte(event), id); done || err != nil {
			return got, err
		}
	}
	return exchange{}, fmt.Errorf("the stream ended without an answer: %w", cmpErr(lines.Err(), io.ErrUnexpectedEOF))
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// take reads one message and reports whether it is the answer to the request.
func (e *exchange) take(data []byte, id int) (bool, error) {
	var m struct {
		ID            json.RawMessage
		Method        string
		Result, Error any
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return false, fmt.Errorf("not JSON: %w", err)
	}
	switch {
	case m.Method != "" && m.ID == nil:
		var notification any
		if err := json.Unmarshal(data, &notification); err != nil {
			return false, err
		}
		e.Notifications = append(e.Notifications, notification)
		return false, nil
	case m.Method != "":
		return false, fmt.Errorf("the server asks for %s, which a raw caller does not answer", m.Method)
	case string(m.ID) != fmt.Sprint(id) && m.Error == nil:
		return false, fmt.Errorf("an answer to %s, not to %d", m.ID, id)
	}
	e.Result, e.Error = m.Result, m.Error
	return true, nil
}

// pipeCaller speaks over what go-sdk calls a connection: HTTP+SSE, or the pipes
// of a process. Its messages keep their JSON.
type pipeCaller struct {
	conn   gosdk.Connection
	lastID int64
}

func newPipeCaller(t testing.TB, transport gosdk.Transport, capabilities map[string]any) *pipeCaller {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// The connection lives as long as the context that it is made with.
	lasting, end := context.WithCancel(context.Background())
	conn, err := transport.Connect(lasting)
	if err != nil {
		end()
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() {
		_ = conn.Close() // a process that was told to end has no good status
		end()
	})
	c := &pipeCaller{conn: conn}
	if _, err := handshake(ctx, c, capabilities); err != nil {
		t.Fatalf("initialize: %v", err)
	}
	if err := conn.Write(ctx, &jsonrpc.Request{Method: "notifications/initialized"}); err != nil {
		t.Fatalf("notifications/initialized: %v", err)
	}
	return c
}

func (c *pipeCaller) call(ctx context.Context, method string, params map[string]any) (exchange, error) {
	c.lastID++
	id, err := jsonrpc.MakeID(float64(c.lastID))
	if err != nil {
		return exchange{}, err
	}
	request := &jsonrpc.Request{ID: id, Method: method}
	if params != nil {
		if request.Params, err = json.Marshal(params); err != nil {
			return exchange{}, err
		}
	}
	if err := c.conn.Write(ctx, request); err != nil {
		return exchange{}, err
	}
	var got exchange
	for {
		message, err := c.conn.Read(ctx)
		if err != nil {
			return exchange{}, err
		}
		data, err := jsonrpc.EncodeMessage(message)
		if err != nil {
			return exchange{}, err
		}
		if done, err := got.take(data, int(c.lastID)); done || err != nil {
			return got, err
		}
	}
}

// newSSECaller connects by HTTP+SSE.
func newSSECaller(t testing.TB, url string, capabilities map[string]any) *pipeCaller {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return newPipeCaller(t, &gosdk.SSEClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: transport}}, capabilities)
}

// newStdioCaller runs a server of its own.
func newStdioCaller(t testing.TB, capabilities map[string]any, server ...string) *pipeCaller {
	t.Helper()
	cmd := exec.Command(server[0], server[1:]...)
	cmd.Dir = lab.scratch
	cmd.Env = os.Environ() // as the bridge has it: Dir would add PWD
	cmd.Stderr = io.Discard
	return newPipeCaller(t, &gosdk.CommandTransport{Command: cmd, TerminateDuration: 100 * time.Millisecond}, capabilities)
}

// tool calls a tool, and returns its text or why there is none.
func tool(ctx context.Context, c rawCaller, name string, arguments map[string]any) (string, error) {
	got, err := c.call(ctx, "tools/call", map[string]any{"name": name, "arguments": arguments})
	if err != nil {
		return "", err
	}
	if got.Error != nil {
		return "", fmt.Errorf("error %v", got.Error)
	}
	result, _ := got.Result.(map[string]any)
	text := textOf(result["content"])
	if result["isError"] == true {
		return "", errors.New(text)
	}
	if kind := result["resultType"]; kind != nil && kind != "complete" {
		return "", fmt.Errorf("the result is %v", kind)
	}
	return text, nil
}

// textOf reads the text of content blocks.
func textOf(content any) string {
	blocks, _ := content.([]any)
	var text strings.Builder
	for _, block := range blocks {
		if fields, ok := block.(map[string]any); ok {
			if s, ok := fields["text"].(string); ok {
				text.WriteString(s)
			}
		}
	}
	return text.String()
}
