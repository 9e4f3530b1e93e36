package netpol

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// gather is how long changes are collected: many pods change at once.
	gather = 50 * time.Millisecond
	// again is the pause after rules that could not be set.
	again = time.Second
)

// Main runs the enforcer until its process is ended and returns the exit code. It answers /healthz
// with 200 once rules are in force.
func Main(args []string) int {
	flags := flag.NewFlagSet("network-policies", flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "path of the kubeconfig of one who may list pods, namespaces and NetworkPolicies")
	health := flags.String("health", "127.0.0.1:10300", "address of /healthz")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := run(context.Background(), *kubeconfig, *health); err != nil {
		slog.Error("enforcing NetworkPolicies ended", "error", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, kubeconfig, health string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig %s: %w", kubeconfig, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client from %s: %w", kubeconfig, err)
	}
	e := newEnforcer(client, nft)
	server := &http.Server{Addr: health, Handler: e, ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- fmt.Errorf("serving /healthz: %w", server.ListenAndServe()) }()
	go func() { failed <- e.run(ctx) }()
	return <-failed
}

// nft hands the rules to the packet filter, which takes all of them or none.
func nft(ctx context.Context, rules string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running nft: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// enforcer keeps the packet filter's rules in step with the cluster.
type enforcer struct {
	factory informers.SharedInformerFactory
	apply   func(ctx context.Context, rules string) error
	changed chan struct{}
	inForce atomic.Bool
}

func newEnforcer(client kubernetes.Interface, apply func(context.Context, string) error) *enforcer {
	return &enforcer{
		factory: informers.NewSharedInformerFactory(client, 0),
		apply:   apply,
		changed: make(chan struct{}, 1),
	}
}

// ServeHTTP tells whether rules were ever set.
func (e *enforcer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if !e.inForce.Load() {
		http.Error(w, "no rules are in force yet", http.StatusServiceUnavailable)
	}
}

func (e *enforcer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer e.factory.Shutdown()
	defer cancel()
	mark := func(any) {
		select {
		case e.changed <- struct{}{}:
		default: // It is noted already.
		}
	}
	handler := cache.ResourceEventHandlerFuncs{AddFunc: mark, DeleteFunc: mark, UpdateFunc: func(_, object any) { mark(object) }}
	core, networking := e.factory.Core().V1(), e.factory.Networking().V1()
	for _, informer := range []cache.SharedIndexInformer{
		core.Pods().Informer(), core.Namespaces().Informer(), networking.NetworkPolicies().Informer(),
	} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return fmt.Errorf("watching the cluster: %w", err)
		}
	}
	e.factory.Start(ctx.Done())
	for kind, synced := range e.factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("listing %s: %w", kind, context.Cause(ctx))
		}
	}
	mark(nil)
	return e.loop(ctx)
}

// loop sets the rules after each change, if they are others than before.
func (e *enforcer) loop(ctx context.Context) error {
	last := ""
	for {
		if err := e.wait(ctx); err != nil {
			return err
		}
		rules, err := e.rules()
		if err == nil && rules != last {
			began := time.Now()
			if err = e.apply(ctx, rules); err == nil {
				last = rules
				e.inForce.Store(true)
				slog.Info("rules are in force", "chains", strings.Count(rules, "chain ")-2, "took", time.Since(began).Round(time.Millisecond))
			}
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			// The earlier rules stay in force.
			slog.Error("setting rules failed and is tried again", "error", err)
			time.AfterFunc(again, func() {
				select {
				case e.changed <- struct{}{}:
				default:
				}
			})
		}
	}
}

// wait returns a moment after a change, so that what changes together is one change.
func (e *enforcer) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-e.changed:
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(gather):
	}
	select {
	case <-e.changed: // The state that is read next has it.
	default:
	}
	return nil
}

func (e *enforcer) rules() (string, error) {
	core, networking := e.factory.Core().V1(), e.factory.Networking().V1()
	var s State
	var err error
	if s.Namespaces, err = core.Namespaces().Lister().List(labels.Everything()); err != nil {
		return "", fmt.Errorf("listing namespaces: %w", err)
	}
	if s.Pods, err = core.Pods().Lister().List(labels.Everything()); err != nil {
		return "", fmt.Errorf("listing pods: %w", err)
	}
	if s.Policies, err = networking.NetworkPolicies().Lister().List(labels.Everything()); err != nil {
		return "", fmt.Errorf("listing NetworkPolicies: %w", err)
	}
	return Rules(s)
}
