package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	mcpclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
)

// callTimeout is for a call that a model answers; the fake one does at once.
const callTimeout = 30 * time.Second

// session is a caller's open session.
type session struct{ client *mcpclient.Client }

// dial opens a session with a server, through a pod that its Service selects.
// Without options the caller declares no sampling, as most callers.
func (s *space) dial(t *testing.T, server *mcpv1alpha1.MCPServer, options ...mcpclient.ClientOption) *session {
	t.Helper()
	status, err := url.Parse(server.Status.URL)
	must(t, err)
	at := "http://" + s.forward(t, server.Name) + status.Path
	var connection transport.Interface
	if server.Spec.Transport.Type == mcpv1alpha1.TransportSSE {
		connection, err = transport.NewSSE(at)
	} else {
		var streams []transport.StreamableHTTPCOption
		if len(options) > 0 {
			// What the server asks of a caller may come on the session's own stream.
			streams = append(streams, transport.WithContinuousListening())
		}
		connection, err = transport.NewStreamableHTTP(at, streams...)
	}
	must(t, err)
	caller := mcpclient.NewClient(connection, options...)
	t.Cleanup(func() { _ = caller.Close() }) // its pod may be gone
	must(t, caller.Start(t.Context()))
	hello := mcp.InitializeRequest{}
	hello.Params.ClientInfo = mcp.Implementation{Name: "e2e", Version: "1"}
	_, err = caller.Initialize(t.Context(), hello)
	must(t, err)
	return &session{client: caller}
}

// call calls a tool with a text and returns its text; an error of the tool is
// one of the call.
func (s *session) call(ctx context.Context, tool, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := mcp.CallToolRequest{}
	request.Params.Name = tool
	request.Params.Arguments = map[string]any{"text": text}
	result, err := s.client.CallTool(ctx, request)
	if err != nil {
		return "", fmt.Errorf("call %s: %w", tool, err)
	}
	if len(result.Content) != 1 {
		return "", fmt.Errorf("call %s: %d blocks of content, want 1", tool, len(result.Content))
	}
	answer := mcp.GetTextFromContent(result.Content[0])
	if result.IsError {
		return answer, fmt.Errorf("call %s: the tool says: %s", tool, answer)
	}
	return answer, nil
}

// asked is what reached the fake model.
type asked struct {
	model     string
	maxTokens int
}

var echo = regexp.MustCompile(`fake model (\S+), at most (\d+) tokens, was asked: `)

// parseEcho reads what the fake model said that it was asked.
func parseEcho(answer string) (asked, error) {
	m := echo.FindStringSubmatch(answer)
	if m == nil {
		return asked{}, fmt.Errorf("%q is no answer of the fake model", answer)
	}
	n, err := strconv.Atoi(m[2])
	return asked{model: m[1], maxTokens: n}, err
}

// summarize calls the tool that samples, and returns what reached the model.
func (s *session) summarize(ctx context.Context) (asked, error) {
	answer, err := s.call(ctx, "summarize", "Boats float on water.")
	if err != nil {
		return asked{}, err
	}
	if !strings.Contains(answer, "Boats float on water.") {
		return asked{}, fmt.Errorf("the caller's text did not reach the model: %q", answer)
	}
	return parseEcho(answer)
}

// forward listens on a local port for a pod behind a Service, and returns the
// address.
func (s *space) forward(t *testing.T, service string) string {
	t.Helper()
	var pod string
	var port int32
	eventually(t, patience, "an endpoint of Service "+service, func(ctx context.Context) (err error) {
		pod, port, err = s.endpoint(ctx, service)
		return err
	})
	roundTripper, upgrader, err := spdy.RoundTripperFor(s.config)
	must(t, err)
	target := s.clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(s.name).Name(pod).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: roundTripper}, http.MethodPost, &url.URL{Scheme: target.Scheme, Host: target.Host, Path: target.Path})
	ready, stop := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, io.Discard)
	must(t, err)
	done := make(chan error, 1)
	go func() { done <- forwarder.ForwardPorts() }()
	t.Cleanup(func() {
		close(stop)
		<-done
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("forward a port to pod %s: %v", pod, err)
	case <-time.After(callTimeout):
		t.Fatalf("forward a port to pod %s: not within %s", pod, callTimeout)
	}
	ports, err := forwarder.GetPorts()
	must(t, err)
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local)
}

// endpoint returns a ready pod behind a Service, and its port.
func (s *space) endpoint(ctx context.Context, service string) (pod string, port int32, err error) {
	var slices discoveryv1.EndpointSliceList
	if err := s.client.List(ctx, &slices, client.InNamespace(s.name), client.MatchingLabels{discoveryv1.LabelServiceName: service}); err != nil {
		return "", 0, err
	}
	for _, slice := range slices.Items {
		for _, e := range slice.Endpoints {
			if e.TargetRef == nil || e.Conditions.Ready == nil || !*e.Conditions.Ready || len(slice.Ports) == 0 || slice.Ports[0].Port == nil {
				continue
			}
			// A slice is a moment behind its pods: one that a rollout is ending has
			// the configuration from before it.
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: e.TargetRef.Name}}
			if err := s.get(ctx, pod); err != nil || pod.DeletionTimestamp != nil {
				continue
			}
			return pod.Name, *slice.Ports[0].Port, nil
		}
	}
	return "", 0, errors.New("no endpoint is ready")
}

// callInCluster runs a caller as a pod, which finds the server by the address
// that its status gives, and returns what the caller prints.
func (s *space) callInCluster(t *testing.T, server *mcpv1alpha1.MCPServer, text string) string {
	t.Helper()
	if server.Status.URL == "" {
		t.Fatalf("%s has no status.url", server.Name)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "caller-of-" + server.Name},
		Spec: corev1.PodSpec{
			RestartPolicy:                corev1.RestartPolicyNever,
			AutomountServiceAccountToken: new(false),
			Containers: []corev1.Container{{
				Name: "caller", Image: peersImage(), ImagePullPolicy: corev1.PullIfNotPresent,
				Command:         []string{"/caller", "--timeout=60s", server.Status.URL, "summarize", "text=" + text},
				SecurityContext: restricted(),
			}},
		},
	}
	s.create(t, pod)
	eventually(t, patience, "the end of the caller's pod", func(ctx context.Context) error {
		if err := s.get(ctx, pod); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			return fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return nil
	})
	out, err := s.logs(t.Context(), s.name, pod.Name, &corev1.PodLogOptions{})
	must(t, err)
	if pod.Status.Phase != corev1.PodSucceeded {
		t.Fatalf("the caller in the cluster failed:\n%s", out)
	}
	return out
}
