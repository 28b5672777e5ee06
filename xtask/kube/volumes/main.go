// The provisioner behind the cluster's default StorageClass: a claim gets a directory of its own, handed out
// as a volume of type `local` that is bound to the node its first pod was placed on.
//
// The type matters. Kubernetes' own host-path provisioner makes root's directories, to which the kubelet
// applies no fsGroup; to a `local` volume it does, so pods that do not run as root can write.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// Provisioner is the name that a StorageClass asks for.
const Provisioner = "freshet.dev/local"

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	folder := flag.String("dir", "", "where the volumes are")
	flag.Parse()
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		klog.Fatal(err)
	}
	client, ctx := kubernetes.NewForConfigOrDie(config), context.Background()
	go growEvery(ctx, client, 2*time.Second)
	alone := controller.LeaderElection(false)
	controller.NewProvisionController(ctx, client, Provisioner, &folders{*folder}, alone).Run(ctx)
}

// folders makes volumes that are directories of one folder. All nodes are on one machine, so one process can
// make the directories of all of them.
type folders struct{ root string }

func (f *folders) Provision(_ context.Context, o controller.ProvisionOptions) (*core.PersistentVolume, controller.ProvisioningState, error) {
	if o.SelectedNodeName == "" {
		err := fmt.Errorf("the class %s must bind when the first consumer is placed", o.StorageClass.Name)
		return nil, controller.ProvisioningFinished, err
	}
	path := filepath.Join(f.root, o.PVName)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	filesystem := core.PersistentVolumeFilesystem
	onNode := core.NodeSelectorRequirement{
		Key: core.LabelHostname, Operator: core.NodeSelectorOpIn, Values: []string{o.SelectedNodeName},
	}
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: o.PVName},
		Spec: core.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			VolumeMode:                    &filesystem,
			Capacity:                      core.ResourceList{core.ResourceStorage: wanted(o.PVC)},
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{
				NodeSelectorTerms: []core.NodeSelectorTerm{{MatchExpressions: []core.NodeSelectorRequirement{onNode}}},
			}},
		},
	}, controller.ProvisioningFinished, nil
}

func (f *folders) Delete(_ context.Context, volume *core.PersistentVolume) error {
	// The path was ours when it was written, but anybody may have edited the object since.
	path := filepath.Join(f.root, volume.Name)
	if volume.Spec.Local == nil || volume.Spec.Local.Path != path {
		return &controller.IgnoredError{Reason: "its path is not the one that was made for it"}
	}
	return os.RemoveAll(path)
}

// growEvery looks for claims that ask for more than they have. A directory has no size to change, so growing
// is to say so: first the volume, then a condition on the claim, which makes the kubelet finish.
func growEvery(ctx context.Context, client kubernetes.Interface, pause time.Duration) {
	for ; ; time.Sleep(pause) {
		claims, err := client.CoreV1().PersistentVolumeClaims("").List(ctx, meta.ListOptions{})
		if err != nil {
			klog.ErrorS(err, "cannot list claims")
			continue
		}
		for i := range claims.Items {
			claim := &claims.Items[i]
			if err := grow(ctx, client, claim); err != nil {
				klog.ErrorS(err, "cannot grow", "claim", klog.KObj(claim))
			}
		}
	}
}

func grow(ctx context.Context, client kubernetes.Interface, claim *core.PersistentVolumeClaim) error {
	size, has := wanted(claim), claim.Status.Capacity[core.ResourceStorage]
	if claim.Status.Phase != core.ClaimBound || size.Cmp(has) <= 0 {
		return nil
	}
	volume, err := client.CoreV1().PersistentVolumes().Get(ctx, claim.Spec.VolumeName, meta.GetOptions{})
	if err != nil || volume.Annotations["pv.kubernetes.io/provisioned-by"] != Provisioner {
		return err
	}
	if holds := volume.Spec.Capacity[core.ResourceStorage]; holds.Cmp(size) < 0 {
		volume.Spec.Capacity[core.ResourceStorage] = size
		if _, err := client.CoreV1().PersistentVolumes().Update(ctx, volume, meta.UpdateOptions{}); err != nil {
			return err
		}
	}
	for _, condition := range claim.Status.Conditions {
		if condition.Type == core.PersistentVolumeClaimFileSystemResizePending {
			return nil
		}
	}
	claim.Status.Conditions = append(claim.Status.Conditions, core.PersistentVolumeClaimCondition{
		Type:               core.PersistentVolumeClaimFileSystemResizePending,
		Status:             core.ConditionTrue,
		LastTransitionTime: meta.Now(),
	})
	_, err = client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, claim, meta.UpdateOptions{})
	return err
}

func wanted(claim *core.PersistentVolumeClaim) resource.Quantity {
	return claim.Spec.Resources.Requests[core.ResourceStorage]
}
