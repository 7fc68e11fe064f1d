// pod-targets finds pods for a Prometheus that was built without Kubernetes discovery, as Debian's is.
//
// Every two seconds it lists the running pods that have a label, and writes those of their ports that have a name as
// targets to a file that Prometheus watches. Usage: pod-targets LABEL-SELECTOR PORT-NAME FILE
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"
)

const (
	account  = "/var/run/secrets/kubernetes.io/serviceaccount/"
	api      = "https://kubernetes.default.svc/api/v1/pods?labelSelector="
	interval = 2 * time.Second
)

type podList struct {
	Items []struct {
		Metadata struct {
			Name, Namespace string
			Labels          map[string]string
		}
		Spec struct {
			Containers []struct {
				Ports []struct {
					Name          string
					ContainerPort int
				}
			}
		}
		Status struct{ Phase, PodIP string }
	}
}

type targetGroup struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func newClient() (*http.Client, error) {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}, nil
}

func listPods(client *http.Client, selector string) (podList, error) {
	var pods podList
	// Read each time: the kubelet replaces it before it expires.
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return pods, err
	}
	request, err := http.NewRequest(http.MethodGet, api+url.QueryEscape(selector), nil)
	if err != nil {
		return pods, err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	response, err := client.Do(request)
	if err != nil {
		return pods, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return pods, fmt.Errorf("listing pods: %s", response.Status)
	}
	return pods, json.NewDecoder(response.Body).Decode(&pods)
}

func targets(pods podList, portName string) []targetGroup {
	groups := []targetGroup{}
	for _, pod := range pods.Items {
		if pod.Status.Phase != "Running" || pod.Status.PodIP == "" {
			continue
		}
		labels := map[string]string{
			"namespace": pod.Metadata.Namespace,
			"pod":       pod.Metadata.Name,
			"release":   pod.Metadata.Labels["app.kubernetes.io/instance"],
		}
		for _, container := range pod.Spec.Containers {
			for _, port := range container.Ports {
				if port.Name == portName {
					address := fmt.Sprintf("%s:%d", pod.Status.PodIP, port.ContainerPort)
					groups = append(groups, targetGroup{[]string{address}, labels})
				}
			}
		}
	}
	return groups
}

// write replaces the file as a whole, so that Prometheus never reads half of it.
func write(groups []targetGroup, file string) error {
	text, err := json.Marshal(groups)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func main() {
	selector, portName, file := os.Args[1], os.Args[2], os.Args[3]
	client, err := newClient()
	if err != nil {
		log.Fatal(err)
	}
	for ; ; time.Sleep(interval) {
		pods, err := listPods(client, selector)
		if err == nil {
			err = write(targets(pods, portName), file)
		}
		if err != nil {
			log.Print(err)
		}
	}
}
