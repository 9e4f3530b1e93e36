package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/egress"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/host"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/settings"
)

const (
	// egressListenerFD is the descriptor on which the proxy is given its listening socket.
	egressListenerFD = 3
	// egressLimit is for the proxy to start.
	egressLimit = 15 * time.Second
	egressPause = 50 * time.Millisecond
	// EgressPart is the proxy's name in logs and reports.
	EgressPart = "egress"
)

// ErrNoEgress says that nothing leads out of the cluster.
var ErrNoEgress = errors.New("it has no way out; give it one with 'up --egress'")

// Egress returns the URL of the proxy that is the cluster's way out, for programs in the cluster.
func Egress(ctx context.Context, c layout.Cluster) (string, error) {
	entry, ok, err := lookup(c)
	if err != nil {
		return "", err
	}
	if !ok || !entry.Init.Alive() {
		return "", ErrNotRunning
	}
	if err := egressAnswers(ctx, entry.Init); err != nil {
		return "", fmt.Errorf("%w (%w)", ErrNoEgress, err)
	}
	return egressURL(), nil
}

func egressAddress() string {
	return net.JoinHostPort(settings.NodeIP, strconv.Itoa(settings.EgressPort))
}
func egressURL() string { return "http://" + egressAddress() }

// ensureEgress starts the proxy, unless it answers.
func ensureEgress(ctx context.Context, c layout.Cluster, o Options) error {
	entry, ok, err := lookup(c)
	if err != nil {
		return err
	}
	if !ok {
		return ErrNotRunning
	}
	if egressAnswers(ctx, entry.Init) == nil {
		return nil
	}
	began := time.Now()
	if err := startEgress(ctx, c, entry.Init, o.EgressArgs); err != nil {
		return startError(EgressPart, err.Error(), c.Log(EgressPart))
	}
	_, err = fmt.Fprintf(o.Progress, "  %-25s %6s\n", "way out "+egressURL(), rounded(time.Since(began)))
	return err
}

// startEgress makes the proxy's socket in the cluster's network, where its callers are, and starts
// it in the machine's, where it connects: the API server's forwarder the other way round. Its pid
// namespace is the cluster's, and so the kernel ends it with the cluster.
func startEgress(ctx context.Context, c layout.Cluster, first host.Process, args []string) error {
	var listener *net.TCPListener
	err := first.InNetwork(func() (err error) {
		listener, err = net.ListenTCP("tcp4", &net.TCPAddr{IP: net.ParseIP(settings.NodeIP), Port: settings.EgressPort})
		return err
	})
	if err != nil {
		return fmt.Errorf("listening at %s in the cluster: %w", egressAddress(), err)
	}
	defer listener.Close()
	socket, err := listener.File()
	if err != nil {
		return fmt.Errorf("passing the socket on: %w", err)
	}
	defer socket.Close()
	log, err := os.OpenFile(c.Log(EgressPart), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening its log: %w", err)
	}
	defer log.Close()

	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Dir = "/"
	cmd.Env = environment(c)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{socket}
	if err := first.StartBeside(cmd); err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("starting its process: %w", err)
	}
	return awaitEgress(ctx, first)
}

// DetachEgress starts the proxy and leaves it alone. The process that calls it has a parent outside
// the pid namespace; the proxy becomes a child of the namespace's first process, which reaps it.
func DetachEgress(args []string) error {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "devcluster"
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{os.NewFile(egressListenerFD, "listener")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the way out: %w", err)
	}
	return nil
}

// ServeEgress is the proxy's process.
func ServeEgress() error {
	file := os.NewFile(egressListenerFD, "listener")
	listener, err := net.FileListener(file)
	if err != nil {
		return fmt.Errorf("using the inherited listener (this command is started by 'devcluster up --egress'): %w", err)
	}
	_ = file.Close() // net.FileListener made a copy.
	return egress.Serve(listener)
}

func awaitEgress(ctx context.Context, first host.Process) error {
	ctx, cancel := context.WithTimeout(ctx, egressLimit)
	defer cancel()
	for {
		err := egressAnswers(ctx, first)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", err)
		case <-time.After(egressPause):
		}
	}
}

// egressAnswers asks the proxy from within the cluster's network.
func egressAnswers(ctx context.Context, first host.Process) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			err = first.InNetwork(func() (err error) {
				conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
				return err
			})
			return conn, err
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, egressURL()+egress.HealthPath, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 512))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", egressAddress(), resp.Status)
	}
	return nil
}
