package peer

import (
	"encoding/json"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// ReverseProxy returns a bare proxy to target, with the settings of the
// sampler's own transport.
//
// Full duplex is for its good: else net/http closes a request's body as soon as
// the response begins, and where the server was quick, while the body is still
// being sent on, that breaks the stream. About two in a hundred did.
func ReverseProxy(target *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: &http.Transport{
			MaxIdleConns: 512, MaxIdleConnsPerHost: 256, DisableCompression: true,
			ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10,
		},
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // always there in HTTP/1.1
		proxy.ServeHTTP(w, r)
	})
}

// Model is a model server that gives back the text of the last message, without
// delay. Like the MCP server it does the least that is legal, so that its own
// work does not hide what is between.
func Model() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/models"):
			writeJSON(w, http.StatusOK, []byte(`{"object":"list","data":[{"id":"small","object":"model","created":1,"owned_by":"bench"}]}`))
		case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/chat/completions"):
			complete(w, r)
		default:
			http.NotFound(w, r)
		}
	})
}

func complete(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil {
		return // the caller left
	}
	var asked struct {
		Model    string `json:"model"`
		Messages []struct {
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
	}
	if err := json.Unmarshal(body, &asked); err != nil || len(asked.Messages) == 0 {
		writeJSON(w, http.StatusBadRequest, []byte(`{"error":{"message":"no messages","type":"invalid_request_error"}}`))
		return
	}
	content := asked.Messages[len(asked.Messages)-1].Content
	var parts []struct {
		Text json.RawMessage `json:"text"`
	}
	if json.Unmarshal(content, &parts) == nil && len(parts) > 0 {
		content = parts[0].Text
	}
	out := make([]byte, 0, len(content)+400)
	out = append(out, `{"id":"chatcmpl-bench","object":"chat.completion","created":1,"model":"`+asked.Model+
		`","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":`...)
	out = append(append(out, content...), `}}],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18}}`...)
	writeJSON(w, http.StatusOK, out)
}
