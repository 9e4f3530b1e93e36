package sim

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// fakeKubelet says of every pod that it runs, without a node: so the API server
// removes it at once when it is deleted.
type fakeKubelet struct {
	clientset *kubernetes.Clientset
	next      atomic.Uint32
}

func startKubelet(ctx context.Context, cfg *rest.Config) error {
	clientset, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make a client for the fake kubelet: %w", err)
	}
	k := &fakeKubelet{clientset: clientset}
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]())
	pods := informers.NewSharedInformerFactory(clientset, 0).Core().V1().Pods().Informer()
	_, err = pods.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(obj any) {
		if pod, ok := obj.(*corev1.Pod); ok && pod.Status.Phase == corev1.PodPending {
			queue.Add(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
		}
	}})
	if err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	go pods.RunWithContext(ctx)
	go func() {
		<-ctx.Done()
		queue.ShutDown()
	}()
	for range 4 {
		go func() {
			for {
				key, end := queue.Get()
				if end {
					return
				}
				if err := k.start(ctx, key, pods.GetIndexer()); err != nil && ctx.Err() == nil {
					queue.AddRateLimited(key)
				}
				queue.Done(key)
			}
		}()
	}
	return nil
}

// start writes the status of a pod that runs.
func (k *fakeKubelet) start(ctx context.Context, key types.NamespacedName, pods cache.Indexer) error {
	obj, there, err := pods.GetByKey(key.String())
	if err != nil || !there {
		return err
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil
	}
	now := metav1.NewTime(time.Now().UTC().Truncate(time.Second))
	status := corev1.PodStatus{Phase: corev1.PodRunning, PodIP: k.address(), StartTime: &now}
	status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	for _, condition := range []corev1.PodConditionType{corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	for _, c := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return fmt.Errorf("encode the status of a pod: %w", err)
	}
	_, err = k.clientset.CoreV1().Pods(key.Namespace).Patch(ctx, key.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// address returns one of this machine's own that no pod had before.
func (k *fakeKubelet) address() string {
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], 127<<24|64<<16|k.next.Add(1))
	return netip.AddrFrom4(ip).String()
}
