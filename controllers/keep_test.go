package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
)

func TestAnUpgradeLeavesTheServersPodsAsTheyAre(t *testing.T) {
	for name, tc := range map[string]struct {
		unmarked bool // the release before wrote nothing down
		change   func(s *mcpv1alpha1.MCPServer)
		others   func(d *appsv1.Deployment) // what somebody else writes to it
		want     bool                       // another template
	}{
		"nothing is asked for": {},
		"the server is scaled": {
			change: func(s *mcpv1alpha1.MCPServer) { s.Spec.Replicas = new(int32(3)) },
		},
		"the samplers change": {
			change: func(s *mcpv1alpha1.MCPServer) { s.Spec.Sampler.Replicas = new(int32(2)) },
		},
		"another image": {
			change: func(s *mcpv1alpha1.MCPServer) { s.Spec.Container.Image = "example.com/other:v1" }, want: true,
		},
		"another variable": {
			change: func(s *mcpv1alpha1.MCPServer) { s.Spec.Container.Env = []corev1.EnvVar{{Name: "A", Value: "b"}} }, want: true,
		},
		"the user asks for new pods": {
			change: func(s *mcpv1alpha1.MCPServer) {
				s.Annotations = map[string]string{mcpv1alpha1.AnnotationRestartedAt: "2026-11-23T04:00:00Z"}
			},
			want: true,
		},
		"somebody else scales it": {
			others: func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32(1)) },
		},
		"somebody else changes the image": {others: otherImage, want: true},
		"somebody else takes a bound away": {
			others: func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].SecurityContext = nil }, want: true,
		},
		"somebody else changes the image, and the release before wrote nothing down": {unmarked: true, others: otherImage, want: true},
		"the release before wrote nothing down":                                      {unmarked: true},
		"the release before wrote nothing down, and the spec has changed since": {
			unmarked: true,
			change:   func(s *mcpv1alpha1.MCPServer) { s.Spec.Container.Env = []corev1.EnvVar{{Name: "A", Value: "b"}} }, want: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.server("demo")
			b.pass(b.reconciler(), "demo")
			b.madeEarlier("demo-server", tc.unmarked)
			before := read(b, "demo-server", &appsv1.Deployment{})

			if tc.change != nil {
				server := read(b, "demo", &mcpv1alpha1.MCPServer{})
				tc.change(server)
				if err := b.Update(t.Context(), server); err != nil {
					t.Fatal(err)
				}
			}
			if tc.others != nil {
				d := read(b, "demo-server", &appsv1.Deployment{})
				tc.others(d)
				if err := b.Update(t.Context(), d, client.FieldOwner("somebody")); err != nil {
					t.Fatal(err)
				}
			}
			later := b.reconciler()
			b.pass(later, "demo")
			b.pass(later, "demo")
			b.pass(b.reconciler(), "demo")
			after := read(b, "demo-server", &appsv1.Deployment{})
			diff := cmp.Diff(before.Spec.Template, after.Spec.Template)
			if (diff != "") != tc.want {
				t.Errorf("another template: %t, want %t (-before +after):\n%s", diff != "", tc.want, diff)
			}
			server := after.Spec.Template.Spec.Containers[0]
			if tc.others != nil && (server.Image != before.Spec.Template.Spec.Containers[0].Image || server.SecurityContext == nil) {
				t.Errorf("what somebody else has changed stays: image %s, security context %v", server.Image, server.SecurityContext)
			}
			if got := *after.Spec.Template.Spec.TerminationGracePeriodSeconds == 50; got != tc.want {
				t.Errorf("made as this release makes it: %t, want %t", got, tc.want)
			}
			want := int32(1)
			if server := read(b, "demo", &mcpv1alpha1.MCPServer{}); server.Spec.Replicas != nil {
				want = *server.Spec.Replicas
			}
			if got := *after.Spec.Replicas; got != want {
				t.Errorf("%d replicas, want %d", got, want)
			}
		})
	}
}

func otherImage(d *appsv1.Deployment) {
	d.Spec.Template.Spec.Containers[0].Image = "example.com/foreign:1"
}

// A pod template of a user's own is told from what somebody else has changed, however
// its values are written.
func TestAnUpgradeKeepsTemplatesOfUsers(t *testing.T) {
	b := newBench(t)
	b.apply(&mcpv1alpha1.MCPServer{}, `
apiVersion: mcp-sampling.dev/v1alpha1
kind: MCPServer
metadata: {name: demo}
spec:
  container:
    image: example.com/server:1
    command: [run]
    env: [{name: A, value: b}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    resources: {requests: {cpu: "0.5", memory: 1024Mi}, limits: {cpu: 1000m, memory: "1.5Gi"}}
    volumeMounts: [{name: data, mountPath: /data}]
  podTemplate:
    metadata: {labels: {team: a}, annotations: {b: c}}
    spec:
      hostAliases: [{ip: 10.0.0.1, hostnames: [a]}]
      tolerations: [{key: gpu, operator: Exists}]
      containers:
      - name: server
        ports: [{containerPort: 9999}]
        readinessProbe: {httpGet: {path: /, port: 9999}}
      - name: side
        image: example.com/side:1
        ports: [{containerPort: 7777, name: side}]
      initContainers: [{name: first, image: example.com/first:1, ports: [{containerPort: 6666}]}]
      volumes:
      - {name: data, emptyDir: {sizeLimit: 0.5Gi}}
      - {name: labels, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
      - name: all
        projected:
          sources:
          - downwardAPI: {items: [{path: cpu, resourceFieldRef: {containerName: side, resource: limits.cpu}}]}
          - configMap: {name: files, items: [{key: a, path: b}]}
      affinity:
        podAntiAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
          - {weight: 1, podAffinityTerm: {topologyKey: zone, labelSelector: {matchLabels: {a: b}}}}
`)
	b.pass(b.reconciler(), "demo")
	live := read(b, "demo-server", &appsv1.Deployment{})
	applied, err := appsv1ac.ExtractDeployment(live, mcpv1alpha1.FieldOwner)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := build.HashTemplate(applied.Spec.Template)
	if made := live.Annotations["mcp-sampling.dev/template-hash"]; err != nil || hash != made {
		t.Errorf("what is there has the hash %s (error %v), and %s was written down", hash, err, made)
	}
	b.madeEarlier("demo-server", false)
	before := read(b, "demo-server", &appsv1.Deployment{})
	b.pass(b.reconciler(), "demo")
	after := read(b, "demo-server", &appsv1.Deployment{})
	if diff := cmp.Diff(before.Spec.Template, after.Spec.Template); diff != "" {
		t.Errorf("another template (-before +after):\n%s", diff)
	}
}

// madeEarlier makes a Deployment be as an earlier release has left it, whose pods had
// less time to end.
func (b *bench) madeEarlier(name string, unmarked bool) {
	b.Helper()
	d, err := appsv1ac.ExtractDeployment(read(b, name, &appsv1.Deployment{}), mcpv1alpha1.FieldOwner)
	if err != nil {
		b.Fatal(err)
	}
	d.Spec.Template.Spec.WithTerminationGracePeriodSeconds(30).Containers[0].Lifecycle = nil
	hash, err := build.HashTemplate(d.Spec.Template)
	if err != nil {
		b.Fatal(err)
	}
	d.WithAnnotations(map[string]string{"mcp-sampling.dev/template-hash": hash})
	if unmarked {
		d.Annotations = nil
	}
	if err := b.Apply(b.Context(), d, client.FieldOwner(mcpv1alpha1.FieldOwner), client.ForceOwnership); err != nil {
		b.Fatal(err)
	}
}
