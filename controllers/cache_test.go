package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
)

func TestTheCacheKeepsOnlyWhatIsNeeded(t *testing.T) {
	fields := []metav1.ManagedFieldsEntry{{Manager: "somebody"}}
	ours := map[string]string{build.LabelManagedBy: build.ManagedBy}
	notes := map[string]string{"example.com/long": "text"}
	ports := corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}
	for name, tc := range map[string]struct {
		slim     func(any) (any, error)
		in, want any
	}{
		"of a pod no spec": {
			slim: slimPod,
			in: &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Annotations: notes, ManagedFields: fields},
				Spec:       corev1.PodSpec{NodeName: "node"}, Status: corev1.PodStatus{PodIP: "10.0.0.1"},
			},
			want: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: notes}, Status: corev1.PodStatus{PodIP: "10.0.0.1"}},
		},
		"of somebody's Service the ports": {
			slim: slimService,
			in:   &corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: notes, ManagedFields: fields}, Spec: ports},
			want: &corev1.Service{Spec: ports},
		},
		"of our own Service everything, the applied fields above all": {
			slim: slimService,
			in:   &corev1.Service{ObjectMeta: metav1.ObjectMeta{Labels: ours, ManagedFields: fields}, Spec: ports},
			want: &corev1.Service{ObjectMeta: metav1.ObjectMeta{Labels: ours, ManagedFields: fields}, Spec: ports},
		},
		"of what it does not know everything": {slim: slimPod, in: "tombstone", want: "tombstone"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.slim(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("what is kept (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheCacheIsRestrictedToNamespaces(t *testing.T) {
	if got := CacheOptions(nil).DefaultNamespaces; got != nil {
		t.Errorf("without a list it is restricted to %v", got)
	}
	got := CacheOptions([]string{"a", "b"}).DefaultNamespaces
	if _, ok := got["a"]; !ok || len(got) != 2 {
		t.Errorf("it is restricted to %v, want a and b", got)
	}
}
