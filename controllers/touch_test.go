package controllers

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/resolve"
	"github.com/mcp-sampling/mcp-sampling-operator/internal/sampler/statusz"
)

func TestTouchNext(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for name, tc := range map[string]struct {
		value    string
		want     string
		wantWait time.Duration
	}{
		"a pod that was never touched":                     {"", "hash.0.1800000000000", 0},
		"a pod that was touched for another configuration": {"other.0.1800000000000", "hash.0.1800000000000", 0},
		"a repetition for another configuration":           {"other.7.1800000000000", "hash.0.1800000000000", 0},
		"the first repetition comes after half a second":   {"hash.0.1799999999800", "hash.1.1800000000000", 300 * time.Millisecond},
		"the next one after a second":                      {"hash.1.1800000000000", "hash.2.1800000000000", time.Second},
		"when a second has passed":                         {"hash.1.1799999999000", "hash.2.1800000000000", 0},
		"later ones after ten seconds":                     {"hash.10.1799999997000", "hash.11.1800000000000", 7 * time.Second},
		"a configuration that comes after the last one":    {"other.16.1800000000000", "hash.0.1800000000000", 0},
		"a clock that was set back":                        {"hash.1.1900000000000", "hash.2.1800000000000", time.Second},
		"an earlier release wrote no time":                 {"hash", "hash.1.1800000000000", 0},
		"and later seconds":                                {"hash.1.1800000000", "hash.2.1800000000000", 0},
		"a value that somebody else wrote":                 {"hash.x.y", "hash.1.1800000000000", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, wait := parseTouch(tc.value).next("hash", now)
			if got.String() != tc.want || wait != tc.wantWait {
				t.Errorf("%s after %s, want %s after %s", got, wait, tc.want, tc.wantWait)
			}
		})
	}
}

// TestSamplersAreRemindedGentlyAndNotForEver plays half an hour in which a
// sampler lacks a key, and counts how often its pod is written.
func TestSamplersAreRemindedGentlyAndNotForEver(t *testing.T) {
	b := newBench(t)
	b.server("demo")
	pod := b.samplerPod("demo", "sampler-1")
	r := b.reconciler()
	clock := time.Now()
	r.opts.Now = func() time.Time { return clock }
	r.pace.now, r.written.now = r.opts.Now, r.opts.Now
	b.pass(r, "demo")

	// play returns how many passes there were, how often the pod was touched and
	// for how long.
	play := func(length time.Duration) (passes, touches int, lasted time.Duration) {
		begin, version := clock, read(b, pod.Name, &corev1.Pod{}).ResourceVersion
		for clock.Sub(begin) < length {
			wait := b.pass(r, "demo").RequeueAfter
			if wait <= 0 {
				t.Fatal("it is not looked at again")
			}
			passes++
			if now := read(b, pod.Name, &corev1.Pod{}).ResourceVersion; now != version {
				version, lasted = now, clock.Sub(begin)
				touches++
			}
			clock = clock.Add(wait)
		}
		return passes, touches, lasted
	}
	check := func(what string) {
		t.Helper()
		b.observer.report(pod.Name, statusz.Report{
			ConfigHash: loaded(b, "demo").Hash(),
			Providers:  []statusz.Provider{{Name: "openai", Credential: statusz.CredentialMissing}},
		})
		passes, touches, lasted := play(30 * time.Minute)
		if touches < 15 || touches > mostTouches+1 {
			t.Errorf("%s: the pod was touched %d times", what, touches)
		}
		if lasted < time.Minute || lasted > 3*time.Minute {
			t.Errorf("%s: the last touch came after %s", what, lasted)
		}
		if passes < 60 || passes > 200 {
			t.Errorf("%s: there were %d passes", what, passes)
		}
	}
	check("the first configuration")

	change(b, "demo", &mcpv1alpha1.MCPServer{}, func(s *mcpv1alpha1.MCPServer) {
		s.Spec.Sampler.ResidentSession = mcpv1alpha1.ResidentSessionOff
	})
	b.pass(r, "demo")
	check("the next one")
}

func TestWhichPodsAreTouched(t *testing.T) {
	missing := []statusz.Provider{{Name: "p", Credential: statusz.CredentialMissing}}
	refused := []statusz.Provider{{Name: "p", Credential: statusz.CredentialLoaded, State: statusz.ProviderRefused}}
	unreachable := []statusz.Provider{{Name: "p", State: statusz.ProviderUnreachable}}
	for name, tc := range map[string]struct {
		annotation string
		report     *statusz.Report
		going      bool
		want       bool
	}{
		"touched for another configuration":    {annotation: "other", want: true},
		"never touched, and it has the newest": {report: &statusz.Report{ConfigHash: "HASH"}},
		"never touched, and it is behind":      {report: &statusz.Report{ConfigHash: "other"}, want: true},
		"touched, and it still is behind":      {annotation: "HASH", report: &statusz.Report{ConfigHash: "other"}, want: true},
		"touched, and it has the newest":       {annotation: "HASH", report: &statusz.Report{ConfigHash: "HASH"}},
		"a key is missing":                     {annotation: "HASH", report: &statusz.Report{ConfigHash: "HASH", Providers: missing}, want: true},
		"a key is refused":                     {annotation: "HASH", report: &statusz.Report{ConfigHash: "HASH", Providers: refused}, want: true},
		"a header of the server is missing":    {annotation: "HASH", report: &statusz.Report{ConfigHash: "HASH", Files: []statusz.File{{Path: "f", State: statusz.CredentialMissing}}}, want: true},
		"the server refuses the header": {annotation: "HASH", report: &statusz.Report{
			ConfigHash: "HASH", Files: []statusz.File{{Path: "f", State: statusz.CredentialLoaded}}, Server: statusz.Server{State: statusz.ServerUnauthorized},
		}, want: true},
		"a provider is not reached, and has certificates of its own": {annotation: "HASH", report: &statusz.Report{
			ConfigHash: "HASH", Files: []statusz.File{{Path: resolve.CABundleDir + "/ca/ca.crt/bundle", State: statusz.CredentialLoaded}}, Providers: unreachable,
		}, want: true},
		"a provider is not reached, and has none":    {annotation: "HASH", report: &statusz.Report{ConfigHash: "HASH", Providers: unreachable}},
		"the server wants its callers' credentials":  {annotation: "HASH", report: &statusz.Report{ConfigHash: "HASH", Server: statusz.Server{State: statusz.ServerUnauthorized}}},
		"a key is missing, and it was touched often": {annotation: "HASH.16.1800000000000", report: &statusz.Report{ConfigHash: "HASH", Providers: missing}},
		"it is behind, but it is going":              {annotation: "other", report: &statusz.Report{ConfigHash: "other"}, going: true},
		"nobody knows what it has, nothing is new":   {annotation: "HASH"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.server("demo")
			r := b.reconciler()
			b.pass(r, "demo")
			hash := loaded(b, "demo").Hash()
			pod := b.samplerPod("demo", "sampler-1")
			if tc.annotation != "" {
				pod.Annotations = map[string]string{mcpv1alpha1.AnnotationConfigHash: replaceHash(tc.annotation, hash)}
			}
			if tc.going {
				pod.Finalizers = []string{"example.com/wait"}
			}
			if err := b.Update(t.Context(), pod); err != nil {
				t.Fatal(err)
			}
			if tc.going {
				if err := b.Delete(t.Context(), pod); err != nil {
					t.Fatal(err)
				}
			}
			if tc.report != nil {
				tc.report.ConfigHash = replaceHash(tc.report.ConfigHash, hash)
				b.observer.report(pod.Name, *tc.report)
			}
			before := read(b, pod.Name, &corev1.Pod{}).ResourceVersion
			b.pass(r, "demo")
			if got := read(b, pod.Name, &corev1.Pod{}).ResourceVersion != before; got != tc.want {
				t.Errorf("touched: %t, want %t", got, tc.want)
			}
		})
	}
}

func replaceHash(s, hash string) string {
	return strings.Replace(s, "HASH", hash, 1)
}
