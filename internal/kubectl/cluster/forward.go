package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// Forward listens on a port of this machine for a port of a pod, until ctx ends,
// and returns the address.
func (c *Cluster) Forward(ctx context.Context, pod *corev1.Pod, port int32) (string, error) {
	dialer, err := c.dialer(pod)
	if err != nil {
		return "", err
	}
	ready := make(chan struct{})
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"},
		[]string{fmt.Sprintf("0:%d", port)}, ready, io.Discard, io.Discard)
	if err != nil {
		return "", fmt.Errorf("forward a port to pod %s: %w", pod.Name, err)
	}
	failed := make(chan error, 1)
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		return "", c.explainForward(pod, err)
	case <-ctx.Done():
		return "", ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return "", fmt.Errorf("forward a port to pod %s: %w", pod.Name, err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local), nil
}

// dialer prefers WebSockets, as kubectl does: proxies know them. API servers that
// do not get SPDY.
func (c *Cluster) dialer(pod *corev1.Pod) (httpstream.Dialer, error) {
	target := c.clientset.CoreV1().RESTClient().Post().Resource("pods").
		Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	roundTripper, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return nil, fmt.Errorf("forward a port to pod %s: %w", pod.Name, err)
	}
	old := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: roundTripper}, http.MethodPost, cleaned(target))
	sockets, err := portforward.NewSPDYOverWebsocketDialerForStreaming(cleaned(target), c.config)
	if err != nil {
		return nil, fmt.Errorf("forward a port to pod %s: %w", pod.Name, err)
	}
	return portforward.NewFallbackDialerForStreaming(sockets, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}

// cleaned has no query: the one of ordinary requests (timeout=…) means nothing here.
func cleaned(u *url.URL) *url.URL {
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
}

func (c *Cluster) explainForward(pod *corev1.Pod, err error) error {
	if err == nil {
		err = errors.New("the connection was closed")
	}
	// The upgrade's error is text; the API server's status is in it.
	if apierrors.IsForbidden(err) || strings.Contains(err.Error(), "is forbidden") || strings.Contains(err.Error(), "cannot create resource") {
		return &Failure{cause: err, text: fmt.Sprintf(
			"you may not create pods/portforward in namespace %q: have somebody give you that right (a Role with apiGroups: [\"\"], resources: [pods/portforward], verbs: [create, get]), or call the server's address from a pod", pod.Namespace)}
	}
	return &Failure{cause: err, text: fmt.Sprintf("forward a port to pod %s: %s", pod.Name, oneLine(err))}
}
