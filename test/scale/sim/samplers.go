package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/config"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

// kubeletDelay is how long a kubelet takes to refresh a mounted file after the pod
// was touched.
const kubeletDelay = 200 * time.Millisecond

// FakeSamplers answers /statusz for every sampler pod, at the pod's own address
// and the real port. A pod loads its configuration when it starts, and again
// some time after it was touched, as with a kubelet.
type FakeSamplers struct {
	server  *http.Server
	cancel  context.CancelFunc
	configs cache.Indexer

	mu     sync.Mutex
	pods   map[string]*fakeSampler // by address
	asked  []time.Time
	strays int
}

type fakeSampler struct {
	namespace, configMap, touched string
	report                        statusz.Report
}

func startSamplers(ctx context.Context, cfg *rest.Config) (*FakeSamplers, error) {
	clientset, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client for the fake samplers: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	factory := informers.NewSharedInformerFactoryWithOptions(clientset, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = build.LabelManagedBy + "=" + build.ManagedBy + "," + build.LabelComponent + "=" + build.ComponentSampler
	}))
	configs := factory.Core().V1().ConfigMaps().Informer()
	s := &FakeSamplers{cancel: cancel, configs: configs.GetIndexer(), pods: map[string]*fakeSampler{}}
	_, err = factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    s.seen,
		UpdateFunc: func(_, now any) { s.seen(now) },
		DeleteFunc: s.gone,
	})
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watch the pods of samplers: %w", err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", net.JoinHostPort("0.0.0.0", strconv.Itoa(int(build.AdminPort))))
	if err != nil {
		cancel()
		return nil, fmt.Errorf("be the samplers on this machine: %w", err)
	}
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

func (s *FakeSamplers) close() error {
	s.cancel()
	return s.server.Close()
}

func (s *FakeSamplers) seen(obj any) {
	pod, ok := obj.(*corev1.Pod)
	if !ok || pod.Status.PodIP == "" || !pod.DeletionTimestamp.IsZero() {
		return
	}
	touched := pod.Annotations[mcpv1alpha1.AnnotationConfigHash]
	s.mu.Lock()
	sampler, known := s.pods[pod.Status.PodIP]
	if !known {
		sampler = &fakeSampler{namespace: pod.Namespace, configMap: build.SamplerObject(pod.Labels[build.LabelInstance])}
		s.pods[pod.Status.PodIP] = sampler
	}
	changed := sampler.touched != touched
	sampler.touched = touched
	s.mu.Unlock()
	switch {
	case !known:
		s.load(sampler)
	case changed:
		time.AfterFunc(kubeletDelay, func() { s.load(sampler) })
	}
}

func (s *FakeSamplers) gone(obj any) {
	if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = last.Obj
	}
	if pod, ok := obj.(*corev1.Pod); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pods, pod.Status.PodIP)
	}
}

// load reads the ConfigMap as it is now.
func (s *FakeSamplers) load(sampler *fakeSampler) {
	obj, there, err := s.configs.GetByKey(sampler.namespace + "/" + sampler.configMap)
	if err != nil || !there {
		return
	}
	configMap, ok := obj.(*corev1.ConfigMap)
	if !ok {
		return
	}
	report := reportOf([]byte(configMap.Data[build.ConfigKey]))
	s.mu.Lock()
	defer s.mu.Unlock()
	sampler.report = report
}

// reportOf is what a sampler says that finds everything well.
func reportOf(data []byte) statusz.Report {
	effective, err := config.Decode(data)
	if err != nil {
		return statusz.Report{ConfigError: err.Error()}
	}
	now := time.Now().UTC()
	report := statusz.Report{ConfigHash: effective.Hash(), Server: statusz.Server{
		State: statusz.ServerVerified, Name: "any", Version: "1", ProtocolVersion: "2025-11-25",
		Era: statusz.EraLegacy, Tools: new(int32(1)), At: now,
	}}
	if effective.Policy == nil {
		return report
	}
	report.Policy = effective.Policy.Name
	for _, p := range effective.Policy.Providers {
		provider := statusz.Provider{Name: p.Name, Credential: statusz.CredentialNone, State: statusz.ProviderHealthy, At: now}
		if p.Credential != nil {
			provider.Credential, provider.CredentialRef = statusz.CredentialLoaded, p.Credential.Ref
		}
		report.Providers = append(report.Providers, provider)
	}
	return report
}

func (s *FakeSamplers) serve(w http.ResponseWriter, r *http.Request) {
	address := ""
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		address = local.IP.String()
	}
	s.mu.Lock()
	sampler, known := s.pods[address]
	s.asked = append(s.asked, time.Now())
	var report statusz.Report
	if known && r.URL.Path == statusz.Path {
		// Whoever asks for news of the server gets some, as from a real one.
		if since, err := time.Parse(time.RFC3339, r.URL.Query().Get(statusz.ParamSince)); err == nil && sampler.report.Server.At.Before(since) {
			sampler.report.Server.At = time.Now().UTC()
		}
		report = sampler.report
	} else {
		s.strays++
	}
	s.mu.Unlock()
	if !known || r.URL.Path != statusz.Path {
		http.NotFound(w, r)
		return
	}
	data, err := json.Marshal(report)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(data)
}

// Asked returns how many questions there were between two moments, and the most of
// them in any tenth of a second.
func (s *FakeSamplers) Asked(from, to time.Time) (all, busiest int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[int64]int{}
	for _, at := range s.asked {
		if !at.Before(from) && at.Before(to) {
			all++
			counts[at.UnixMilli()/100]++
		}
	}
	for _, n := range counts {
		busiest = max(busiest, n)
	}
	return all, busiest
}

// Loaded says whether every one of the addresses has loaded a configuration under
// that policy.
func (s *FakeSamplers) Loaded(addresses []string, policy string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(addresses, func(a string) bool { return s.pods[a] == nil || s.pods[a].report.Policy != policy })
	if i >= 0 {
		return errors.New(addresses[i] + " has not")
	}
	return nil
}
