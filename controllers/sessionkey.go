package controllers

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcpv1alpha1 "github.com/mcp-sampling/mcp-sampling-operator/api/v1alpha1"
	"github.com/mcp-sampling/mcp-sampling-operator/controllers/build"
)

// The samplers of a server share a key that seals the names of sessions. The
// operator makes it once and may not read Secrets, so all it can do is to try to
// create the Secret: that it is there already is as good. It tries once for each
// server, and again from time to time in case that somebody has deleted it: soon
// while a sampler's pod is not ready, since a new pod waits for the Secret.

// sessionKeyBytes is the length of a key.
const sessionKeyBytes = 48

const (
	// keyAgain is when to try again although nothing seems to miss the key.
	keyAgain = 10 * time.Minute
	// keySoon is when to try again while a pod may be waiting for it.
	keySoon = 5 * time.Second
)

// keyTries remembers which servers have a key, and when that was known.
type keyTries struct {
	now func() time.Time

	mu   sync.Mutex
	made map[types.NamespacedName]keyTry
}

type keyTry struct {
	uid types.UID
	at  time.Time
}

func newKeyTries(now func() time.Time) *keyTries {
	return &keyTries{now: now, made: map[types.NamespacedName]keyTry{}}
}

// due says whether to try to create the key of a server. waiting is true while a
// pod of its samplers may wait for it.
func (k *keyTries) due(server *mcpv1alpha1.MCPServer, waiting bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	last, ok := k.made[keyOf(server)]
	if !ok || last.uid != server.UID {
		return true
	}
	after := keyAgain
	if waiting {
		after = keySoon
	}
	return k.now().Sub(last.at) >= after
}

func (k *keyTries) remember(server *mcpv1alpha1.MCPServer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.made[keyOf(server)] = keyTry{uid: server.UID, at: k.now()}
}

func (k *keyTries) forget(key types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.made, key)
}

func keyOf(server *mcpv1alpha1.MCPServer) types.NamespacedName {
	return types.NamespacedName{Namespace: server.Namespace, Name: server.Name}
}

// sessionKey makes the key of a server's sessions if there may be none.
func (r *ServerReconciler) sessionKey(ctx context.Context, server *mcpv1alpha1.MCPServer) error {
	samplers, err := r.deployment(ctx, server, build.SamplerObject(server.Name))
	if err != nil {
		return err
	}
	if !r.keys.due(server, !whole(samplers)) {
		return nil
	}
	key := make([]byte, sessionKeyBytes)
	_, _ = rand.Read(key) // never fails
	secret := build.SessionSecret(server, key)
	if err := r.client.Create(ctx, secret, client.FieldOwner(mcpv1alpha1.FieldOwner)); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create Secret %s: %w", secret.Name, err)
	}
	r.keys.remember(server)
	return nil
}

// whole says whether every pod of a Deployment is of the newest template and
// ready.
func whole(d *appsv1.Deployment) bool {
	if d == nil || d.Status.ObservedGeneration < d.Generation {
		return false
	}
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	return d.Status.UpdatedReplicas >= wanted && d.Status.ReadyReplicas >= d.Status.Replicas && d.Status.ReadyReplicas >= wanted
}
