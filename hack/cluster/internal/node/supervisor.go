package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/layout"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/progress"
	"github.com/mcp-sampling/mcp-sampling-operator/hack/cluster/internal/settings"
)

const (
	// startLimit is for one part, on a machine that is busy with other things.
	startLimit = 2 * time.Minute
	// pollPause lies between two questions to a part that is starting.
	pollPause = 100 * time.Millisecond
	// restartPause keeps a part that ends at once from using a whole core.
	restartPause = time.Second
)

// supervisor starts the parts of one cluster and restarts those that end.
type supervisor struct {
	cluster  layout.Cluster
	commands map[string][]string
	// isComponent tells which programs are part of this binary.
	isComponent func(name string) bool
	progress    *progress.Writer
}

// Run starts all parts and keeps them running. It returns only if the start failed or the command
// that started it went away before the cluster was up. Programs that are components run as this
// binary by their name.
func Run(c layout.Cluster, isComponent func(name string) bool) error {
	s := &supervisor{
		cluster:     c,
		commands:    settings.Commands(c),
		isComponent: isComponent,
		progress:    progress.NewWriter(os.NewFile(progressFD, "progress")),
	}
	listenerFile := os.NewFile(listenerFD, "listener")
	listener, err := net.FileListener(listenerFile)
	if err != nil {
		return fmt.Errorf("using the inherited listener: %w", err)
	}
	_ = listenerFile.Close() // net.FileListener made a copy.

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	up := make(chan struct{})
	go watchLifeline(os.NewFile(lifelineFD, "lifeline"), up, cancel)

	if err := s.start(ctx, listener); err != nil {
		return err
	}
	close(up)
	s.progress.Report(progress.Event{Up: true})
	select {} // Everything that is left to do has its own goroutine.
}

// watchLifeline stops a start whose caller has gone. It reads until the caller's end closes.
func watchLifeline(lifeline io.Reader, up <-chan struct{}, cancel context.CancelCauseFunc) {
	_, _ = io.Copy(io.Discard, lifeline)
	select {
	case <-up:
	default:
		cancel(errors.New("the command that started the cluster went away"))
	}
}

// start brings the parts up in the order in which they need each other.
func (s *supervisor) start(ctx context.Context, listener net.Listener) error {
	if err := s.step("network", func() error { return setUpNetwork(ctx) }); err != nil {
		return err
	}
	go forward(listener, net.JoinHostPort("127.0.0.1", settings.APIPort))

	var api *apiClient
	base, baseCtx := errgroup.WithContext(ctx)
	base.Go(func() error {
		if err := s.startPart(baseCtx, "containerd", socketListens(settings.ContainerdSocket)); err != nil {
			return err
		}
		return s.step("pause image", func() error { return importPause(baseCtx, s.cluster) })
	})
	base.Go(func() error {
		if err := s.startPart(baseCtx, "etcd", answersHTTP("http://127.0.0.1:2379/health")); err != nil {
			return err
		}
		var err error
		if api, err = newAPIClient(s.cluster.PKI("admin.kubeconfig")); err != nil {
			return err
		}
		return s.startPart(baseCtx, "kube-apiserver", api.ready)
	})
	if err := base.Wait(); err != nil {
		return err
	}

	if err := s.step("cluster DNS objects", func() error { return api.createDNS(ctx) }); err != nil {
		return err
	}
	rest, restCtx := errgroup.WithContext(ctx)
	for part, ready := range map[string]check{
		"kube-controller-manager": answersHTTP("https://127.0.0.1:10257/healthz"),
		"kube-scheduler":          answersHTTP("https://127.0.0.1:10259/healthz"),
		"kubelet":                 answersHTTP("http://127.0.0.1:10248/healthz"),
		"kube-proxy":              answersHTTP("http://127.0.0.1:10256/healthz"),
		"network-policies":        answersHTTP("http://" + settings.PoliciesHealth + "/healthz"),
		"coredns":                 answersHTTP("http://127.0.0.1:8181/ready"),
	} {
		rest.Go(func() error { return s.startPart(restCtx, part, ready) })
	}
	if err := rest.Wait(); err != nil {
		return err
	}
	for _, wait := range []struct {
		name, log string
		until     check
	}{
		{"node is Ready", "kubelet", api.nodeReady(s.cluster.Node())},
		{"DNS answers", "coredns", dnsAnswers},
		{"default service account", "kube-controller-manager", api.serviceAccountExists},
	} {
		began := time.Now()
		if err := poll(ctx, wait.until); err != nil {
			return s.failed(wait.name, s.cluster.Log(wait.log), err)
		}
		s.progress.Report(progress.Event{Part: wait.name, Took: time.Since(began)})
	}
	return nil
}

// step runs something that has no log of its own.
func (s *supervisor) step(name string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return s.failed(name, "", err)
	}
	s.progress.Report(progress.Event{Part: name, Took: time.Since(began)})
	return nil
}

// failed reports a failure and returns it. What was only cancelled because another part failed is
// not worth a report.
func (s *supervisor) failed(part, log string, err error) error {
	if !errors.Is(err, context.Canceled) {
		s.progress.Report(progress.Event{Part: part, Error: err.Error(), Log: log})
	}
	return fmt.Errorf("%s: %w", part, err)
}

// startPart starts a part, waits until it works, and from then on restarts it whenever it ends.
func (s *supervisor) startPart(ctx context.Context, part string, ready check) error {
	began := time.Now()
	cmd, err := s.launch(part)
	if err != nil {
		return s.failed(part, s.cluster.Log(part), err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	readyCtx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	result := make(chan error, 1)
	go func() { result <- poll(readyCtx, ready) }()
	select {
	case err = <-result:
	case exit := <-ended:
		err = fmt.Errorf("it ended during its start (%s)", exitText(exit))
	}
	if err != nil {
		return s.failed(part, s.cluster.Log(part), err)
	}
	s.progress.Report(progress.Event{Part: part, Took: time.Since(began)})
	go s.keepRunning(part, ended)
	return nil
}

// keepRunning restarts a part for as long as the namespaces live.
func (s *supervisor) keepRunning(part string, ended <-chan error) {
	for {
		slog.Warn("a part ended and is started again", "part", part, "reason", exitText(<-ended))
		time.Sleep(restartPause)
		cmd, err := s.launch(part)
		next := make(chan error, 1)
		if err != nil {
			next <- err
		} else {
			go func() { next <- cmd.Wait() }()
		}
		ended = next
	}
}

// launch starts a part's process with its output going to its log.
func (s *supervisor) launch(part string) (*exec.Cmd, error) {
	argv, ok := s.commands[part]
	if !ok {
		return nil, fmt.Errorf("there is no command for the part %s", part)
	}
	log, err := os.OpenFile(s.cluster.Log(part), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", part, err)
	}
	defer log.Close() // The process has its own copy.
	program := argv[0]
	if s.isComponent(program) {
		program = "/proc/self/exe"
	}
	cmd := exec.Command(program, argv[1:]...)
	cmd.Args = slices.Clone(argv)
	cmd.Dir = s.cluster.Dir
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", part, err)
	}
	return cmd, nil
}

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
