package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	gosdk "github.com/modelcontextprotocol/go-sdk/mcp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// example applies a file of examples/transports with the images and the model of
// these tests, and returns its server and its policy.
func (s *space) example(t *testing.T, file, name string, replace ...string) (*mcpv1alpha1.MCPServer, *mcpv1alpha1.SamplingPolicy) {
	t.Helper()
	data, err := os.ReadFile("../../examples/transports/" + file)
	must(t, err)
	replace = append(replace, "localhost/", strings.TrimSuffix(image("", ""), ":"), "http://model:8080", "http://"+fakeModel+":8080")
	_, err = s.kubectl(t.Context(), strings.NewReplacer(replace...).Replace(string(data)), "apply", "-n", s.name, "-f", "-")
	must(t, err)
	meta := metav1.ObjectMeta{Name: name}
	return &mcpv1alpha1.MCPServer{ObjectMeta: meta}, &mcpv1alpha1.SamplingPolicy{ObjectMeta: meta}
}

func testStdioServer(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := s.example(t, "stdio.yaml", "summarizer-stdio")
	s.awaitReady(t, server, policy)
	if info := server.Status.Server; info == nil || info.Name != "summarizer-fastmcp" || info.Era == "" {
		t.Errorf("status.server is %+v, want what the process says of itself", info)
	}
	// Each session has a process of its own, and both sample.
	for range 2 {
		caller := s.dial(t, server)
		for range 2 {
			if got, err := caller.summarize(t.Context()); err != nil {
				t.Error(err)
			} else if got.maxTokens != 120 {
				t.Errorf("the model was asked as %+v", got)
			}
		}
	}
	if _, err := parseEcho(s.callInCluster(t, server, "Boats float on water.")); err != nil {
		t.Error(err)
	}

	// A command that is not in the image: the message leads to the reason.
	broken := &mcpv1alpha1.MCPServer{ObjectMeta: metav1.ObjectMeta{Name: "broken"}}
	server.Spec.DeepCopyInto(&broken.Spec)
	broken.Spec.Container.Command = []string{"no-such-command"}
	s.create(t, broken)
	s.await(t, broken, wantCondition{
		conditionType: mcpv1alpha1.ConditionAvailable, status: metav1.ConditionFalse,
		reason: mcpv1alpha1.ReasonServerCrashing, message: []string{"kubectl logs"},
	})
	eventually(t, patience, "the log to name the command", func(ctx context.Context) error {
		pods := s.labelled(t, "app.kubernetes.io/instance=broken,app.kubernetes.io/component=server")
		if len(pods) == 0 {
			return fmt.Errorf("no pod")
		}
		log, err := s.logs(ctx, s.name, pods[0].Name, &corev1.PodLogOptions{Container: "server"})
		if err == nil && !strings.Contains(log, "no-such-command") {
			err = fmt.Errorf("it says %q", log)
		}
		return err
	})
}

func testSSEServer(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := s.example(t, "sse.yaml", "summarizer-sse")
	s.awaitReady(t, server, policy)
	if !strings.HasSuffix(server.Status.URL, "/sse") {
		t.Errorf("status.url is %s, want it to end with /sse", server.Status.URL)
	}
	caller := s.dial(t, server)
	for range 3 {
		if _, err := caller.summarize(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// Each state of a remote server's key shows, and heals by itself.
func testRemoteServer(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	s.run(t, "backend", 8000, "/gosdkserver", "-require=X-Api-Key="+rightKey)
	server, policy := s.example(t, "remote.yaml", "tickets",
		"https://mcp.example.com/mcp", fmt.Sprintf("http://backend.%s.svc:8000/mcp", s.name))
	s.await(t, server, wantCondition{
		conditionType: mcpv1alpha1.ConditionResolvedRefs, status: metav1.ConditionFalse,
		reason: mcpv1alpha1.ReasonSecretNotFound, message: []string{"Secret tickets, key api-key", "spec.remote.headers"},
	})
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "tickets"}, StringData: map[string]string{"api-key": wrongKey}}
	s.create(t, secret)
	took := s.await(t, server, wantCondition{
		conditionType: mcpv1alpha1.ConditionVerified, status: metav1.ConditionFalse, reason: mcpv1alpha1.ReasonCredentialRefused,
	})
	t.Logf("a wrong key shows after %s", took.Round(time.Millisecond))
	before := s.pods(t)
	patch(t, s, secret, func(secret *corev1.Secret) { secret.Data = map[string][]byte{"api-key": []byte(rightKey)} })
	s.awaitReady(t, server, policy)
	if _, err := s.dial(t, server).summarize(t.Context()); err != nil {
		t.Error(err)
	}
	if after := s.pods(t); !equalPods(before, after) {
		t.Errorf("pods changed because of a key:\nbefore %v\nafter  %v", before, after)
	}
	if pods := s.labelled(t, "app.kubernetes.io/component=server"); len(pods) != 0 {
		t.Errorf("a remote server has %d pods", len(pods))
	}
	s.noKeyAnywhere(t)
}

// Caller and server know the stateless era only.
func testModernEra(t *testing.T) {
	s := newSpace(t)
	s.runFakeModel(t)
	server, policy := newServer("modern", running(peersImage(), "/gosdkserver", "-modern")), newPolicy("policy", "modern")
	s.create(t, server, policy)
	s.awaitReady(t, server, policy)
	if info := server.Status.Server; info == nil || info.Era != "Modern" || info.ProtocolVersion != "2026-07-28" {
		t.Errorf("status.server is %+v, want the era Modern", info)
	}
	caller := gosdk.NewClient(&gosdk.Implementation{Name: "e2e", Version: "1"}, nil)
	session, err := caller.Connect(t.Context(), &gosdk.StreamableClientTransport{Endpoint: "http://" + s.forward(t, server.Name) + "/mcp"}, nil)
	must(t, err)
	defer func() { _ = session.Close() }() // there is nothing to end
	if got := session.InitializeResult().ProtocolVersion; got != "2026-07-28" {
		t.Errorf("the caller speaks %s, want the stateless version", got)
	}
	for range 3 {
		result, err := session.CallTool(t.Context(), &gosdk.CallToolParams{Name: "summarize", Arguments: map[string]any{"text": "Boats float on water."}})
		must(t, err)
		text, ok := result.Content[0].(*gosdk.TextContent)
		if !ok || result.IsError {
			t.Fatalf("the tool's result is %+v", result)
		}
		got, err := parseEcho(text.Text)
		must(t, err)
		if want := (asked{"fast-1", 100}); got != want {
			t.Errorf("the model was asked as %+v, want %+v", got, want)
		}
	}
}
