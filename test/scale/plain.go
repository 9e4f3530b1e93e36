package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// plainNamespace is where a bare client writes.
	plainNamespace = "plain"
	// plainObjects are written twice, by as many at the same time as there are
	// workers in the operator.
	plainObjects, plainWorkers = 2000, 8
)

// writePlainly measures how long a bare client needs for writes that nothing follows
// from: what the API server can do on this machine at the time, with what it holds
// then. Both change from minute to minute, and with the number of objects.
func (b *bench) writePlainly(at int) func(context.Context) error {
	return func(ctx context.Context) error {
		here := client.InNamespace(plainNamespace)
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: plainNamespace}}
		if err := client.IgnoreAlreadyExists(b.Client.Create(ctx, ns)); err != nil {
			return fmt.Errorf("create namespace %s: %w", plainNamespace, err)
		}
		start := time.Now()
		for _, value := range []string{"first", "second"} {
			g, ctx := errgroup.WithContext(ctx)
			g.SetLimit(plainWorkers)
			for i := range plainObjects {
				object := corev1ac.ConfigMap(strconv.Itoa(i), plainNamespace).WithData(map[string]string{"key": value})
				g.Go(func() error { return b.Client.Apply(ctx, object, client.FieldOwner("plain")) })
			}
			if err := g.Wait(); err != nil {
				return fmt.Errorf("write plainly: %w", err)
			}
		}
		b.plain[at] = time.Since(start)
		if err := b.Client.DeleteAllOf(ctx, &corev1.ConfigMap{}, here); err != nil {
			return fmt.Errorf("delete what was written plainly: %w", err)
		}
		return nil
	}
}
