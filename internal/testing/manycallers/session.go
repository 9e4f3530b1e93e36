package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// version is the newest one that has sessions.
const version = "2025-11-25"

// session is one session, used by one goroutine at a time.
type session struct {
	http *http.Client
	url  string
	id   string
	last string // the text of the last answer
	next int
	lost bool
}

// outcome is what became of one call.
type outcome struct {
	text  string // of the answer, or of the last one before
	moved bool
	lost  bool
	err   error
	again int
	// renewed means that the call was answered, or not, in another session.
	renewed bool
	took    time.Duration
}

// errLost means 404: the server side knows nothing of the session.
var errLost = errors.New("HTTP 404")

// newClient keeps a connection for one session, as separate callers do: one that
// they shared could lie idle for long and be closed in the moment of its next use.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
}

func (s *session) open(ctx context.Context) outcome {
	start := time.Now()
	id, _, err := s.request(ctx, "initialize", map[string]any{
		"protocolVersion": version, "capabilities": map[string]any{},
		"clientInfo": map[string]any{"name": "manycallers", "version": "1"},
	})
	switch {
	case err != nil:
	case id == "":
		err = errors.New("initialize: no session id")
	default:
		s.id = id
		err = s.notify(ctx, "notifications/initialized")
	}
	return outcome{err: err, took: time.Since(start)}
}

// redial is how long a call looks for somebody who takes the connection. Nothing was
// sent before, so trying again is safe, and what gateways and clients do: for a moment
// a Service may still lead to a pod that listens no more.
const redial = 5 * time.Second

// call calls a tool. As long as there is no answer at all, it tries again within
// that time.
func (s *session) call(ctx context.Context, tool string, within time.Duration) outcome {
	start := time.Now()
	out := outcome{text: s.last}
	if s.id == "" || s.lost {
		out.err, out.lost = errLost, true
		return out
	}
	for {
		text, err := s.callOnce(ctx, tool)
		out.took = time.Since(start)
		var none *noAnswerError
		switch {
		case err == nil:
			out.moved = s.last != "" && s.last != text
			s.last, out.text, out.err = text, text, nil
			return out
		case errors.As(err, &none) && out.took < within, errors.Is(err, syscall.ECONNREFUSED) && out.took < redial:
			out.again++
			time.Sleep(100 * time.Millisecond)
		default:
			s.lost = errors.Is(err, errLost)
			out.err, out.lost = err, s.lost
			return out
		}
	}
}

// renew begins another session, in which it calls once more.
func (s *session) renew(ctx context.Context, tool string) outcome {
	start := time.Now()
	s.id, s.last, s.lost = "", "", false
	out := s.open(ctx)
	if out.err == nil {
		out = s.call(ctx, tool, 0)
	}
	out.renewed, out.took = true, time.Since(start)
	return out
}

func (s *session) callOnce(ctx context.Context, tool string) (string, error) {
	_, result, err := s.request(ctx, "tools/call", map[string]any{
		"name": tool, "arguments": map[string]any{"text": "Boats float on water."},
	})
	if err != nil {
		return "", err
	}
	var called struct {
		IsError bool `json:"isError"`
		Content []struct {
			Text string `json:"text"`
		} `json:"content"`
	}
	if err := json.Unmarshal(result, &called); err != nil || len(called.Content) != 1 {
		return "", fmt.Errorf("call %s: no result of a tool: %.200s", tool, result)
	}
	if called.IsError {
		return "", fmt.Errorf("call %s: the tool says: %.200s", tool, called.Content[0].Text)
	}
	return called.Content[0].Text, nil
}

// noAnswerError means that the request got no answer from anybody.
type noAnswerError struct{ err error }

func (e *noAnswerError) Error() string { return "no answer: " + e.err.Error() }
func (e *noAnswerError) Unwrap() error { return e.err }

func (s *session) notify(ctx context.Context, method string) error {
	resp, err := s.post(ctx, map[string]any{"jsonrpc": "2.0", "method": method})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("%s: HTTP %d", method, resp.StatusCode)
	}
	return nil
}

// request returns the session id of the answer, if any, and the result.
func (s *session) request(ctx context.Context, method string, params any) (id string, result json.RawMessage, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	s.next++
	resp, err := s.post(ctx, map[string]any{"jsonrpc": "2.0", "id": s.next, "method": method, "params": params})
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return "", nil, errLost
	default:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 300)) // of an error: what there is of it
		return "", nil, fmt.Errorf("%s: HTTP %d: %s", method, resp.StatusCode, text)
	}
	result, err = response(resp, s.next)
	if err != nil {
		err = fmt.Errorf("%s: %w", method, err)
	}
	return resp.Header.Get("Mcp-Session-Id"), result, err
}

func (s *session) post(ctx context.Context, message any) (*http.Response, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if s.id != "" {
		req.Header.Set("Mcp-Session-Id", s.id)
		req.Header.Set("Mcp-Protocol-Version", version)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, &noAnswerError{err}
	}
	return resp, nil
}

// response reads messages until the answer to id.
func response(resp *http.Response, id int) (json.RawMessage, error) {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		result, _, err := resultOf(data, id)
		return result, err
	}
	lines := bufio.NewReader(resp.Body)
	var data []byte
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("the stream ended before the answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if text, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, bytes.TrimPrefix(text, []byte(" "))...)
		}
		if len(line) > 0 || len(data) == 0 {
			continue
		}
		result, mine, err := resultOf(data, id)
		if mine || err != nil {
			return result, err
		}
		data = nil
	}
}

// resultOf says whether a message is the answer to id, and returns its result.
func resultOf(data []byte, id int) (result json.RawMessage, mine bool, err error) {
	var m struct {
		ID     json.RawMessage `json:"id"`
		Method string          `json:"method"`
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, false, fmt.Errorf("read a message: %w", err)
	}
	switch {
	case m.Method != "" || string(m.ID) != fmt.Sprint(id):
		return nil, false, nil
	case m.Error != nil:
		return nil, true, fmt.Errorf("error %d: %s", m.Error.Code, m.Error.Message)
	}
	return m.Result, true, nil
}
