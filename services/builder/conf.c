#include <stddef.h>

#include "builder.h"

#define ITEM(key, type, member, def, help)                                                         \
    {                                                                                              \
        key, type, offsetof(struct builder_conf, member), def, help, 0                             \
    }

const struct conf_item builder_conf_items[] = {
    ITEM("user", CONF_STR, user, "gantry-builder",
         "whom a builder started as root becomes; needs ranges in /etc/subuid and /etc/subgid"),
    ITEM("state-dir", CONF_STR, state_dir, NULL,
         "mirrors and sandboxes; <common.state-dir>/builder where not given"),
    ITEM("driver", CONF_STR, driver, "sandbox", "where builds run: sandbox, docker or kubernetes"),
    ITEM("docker-socket", CONF_STR, docker.socket, "/var/run/docker.sock",
         "driver docker: the engine's socket; who may use it is root of the engine's machine"),
    ITEM("docker-image", CONF_STR, docker.image, NULL,
         "driver docker: the image of builds whose action has no build-image; those are refused "
         "where not given"),
    ITEM("docker-network", CONF_STR, docker.network, "bridge",
         "driver docker: the engine's network that builds are in"),
    ITEM("docker-privileged", CONF_BOOL, docker.privileged, "false",
         "driver docker: builds may ask for `privileged: true`, and so be root of the engine's "
         "machine"),
    ITEM("slots", CONF_INT, slots, "0",
         "builds at once; 0: as many as there are cores (driver kubernetes: 10)"),
    ITEM(
        "network", CONF_STR, network, "host",
        "of the commands: host (driver docker: docker-network, kubernetes: the pods') or none (not "
        "with kubernetes)"),
    ITEM("insecure-registries", CONF_LIST, insecure_registries, "127.0.0.1,localhost",
         "registries that are spoken to by plain http, with or without port"),
    ITEM("registry-ca", CONF_STR, registry_ca, NULL,
         "PEM file of the authorities of registries; the system's where not given"),
    ITEM("registry-login", CONF_STR, registry_login, NULL,
         "name of a secret with the builder's own logins to registries, as Docker's config.json "
         "has them"),
    ITEM("layer-cache", CONF_STR, layer_cache, "off",
         "where builds keep layers of images: local (this machine), for `dockerfile:` builds image "
         "(tags in the image's repository) or a name (the repository <image>/<name>), or off"),
    ITEM(
        "layer-cache-size", CONF_SIZE, layer_cache_bytes, "10Gi",
        "layer-cache: local keeps at most so much, of all pipelines; those not used for longest go "
        "first, and after cache-keep"),
    ITEM("signing-key", CONF_STR, signing.key, NULL,
         "name of a secret with a P-256 private key (PEM) that signs images and their provenance; "
         "not given: neither is made"),
    ITEM("builder-id", CONF_STR, signing.builder_id, "urn:gantry:builder",
         "a URI that says in provenance who built it"),
    ITEM("cgroup", CONF_STR, cgroup, NULL,
         "delegated control groups: v2:/path or v1:memory=/path,pids=/path,cpu=/path"),
    ITEM("hide", CONF_LIST, hide, NULL,
         "further files and folders of this machine that no build may see"),
    ITEM("processes", CONF_INT, processes, "4096", "processes of one build at once; 0: no limit"),
    ITEM("memory", CONF_SIZE, memory_bytes, "0",
         "memory of a build whose action asks for none; 0: no limit"),
    ITEM("disk", CONF_SIZE, disk_bytes, "20Gi", "disk of one build; 0: no limit"),
    ITEM("free-disk", CONF_SIZE, free_disk_bytes, "1Gi",
         "with less disk left no build is started, and builds that run are ended"),
    ITEM("git-timeout", CONF_DURATION, git_timeout_ms, "10m",
         "how long a fetch or a checkout may take"),
    ITEM("trust-file-owner", CONF_BOOL, trust_file_owner, "false",
         "read file: repositories that belong to another user than the builder's"),
    ITEM("artifacts", CONF_STR, artifacts, NULL,
         "where artifacts, caches and whole logs are kept: an absolute folder, or "
         "s3://bucket/prefix; <builder.state-dir>/artifacts where not given"),
    ITEM("artifacts-kms-key", CONF_STR, artifacts_kms_key, NULL,
         "key of AWS KMS (id, ARN or alias/name) for s3://; as the bucket is set where not given"),
    ITEM("artifacts-keep", CONF_DURATION, artifacts_keep_ms, "0",
         "how long artifacts stay in a folder since they were put or got last; 0: for ever"),
    ITEM("logs-keep", CONF_DURATION, logs_keep_ms, "90d", "the same of whole logs"),
    ITEM("cache-keep", CONF_DURATION, cache_keep_ms, "30d",
         "the same of caches, those of layers too"),
    ITEM("parameters", CONF_STR, secrets.parameters, "gantry",
         "who answers env.parameter-store and env.secrets-manager: gantry (its own store) or aws"),
    ITEM("grants", CONF_MAP, secrets.grants, NULL,
         "which pipelines may read which names, beside what `gantry secret grant` allows: "
         "pipeline: [path, ...], both globs"),
    ITEM("master-key", CONF_STR, secrets.master_key, "master-key",
         "seals the secret store: the name of a secret of 32 bytes, or kms:KEY (id, ARN or "
         "alias/name)"),
    ITEM("old-master-key", CONF_STR, secrets.old_master_key, NULL,
         "what sealed the store before; no longer needed after `gantry secret rotate`"),
    ITEM("secret-store-dir", CONF_STR, secrets.store_dir, NULL,
         "the secret store, which builders may share; <builder.state-dir>/secrets where not given"),
    ITEM("bootstrap-token", CONF_STR, secrets.bootstrap_token, NULL,
         "name of a secret that holds a first admin's token; it may manage secrets"),
    ITEM("aws-region", CONF_STR, secrets.aws_region, NULL,
         "of SSM, Secrets Manager, KMS and S3, and AWS_REGION of builds; the builder's AWS_REGION "
         "or the profile's where not given"),
    ITEM("aws-endpoint-url", CONF_STR, secrets.aws_endpoint_url, NULL,
         "where what speaks like AWS answers; AWS_ENDPOINT_URL or AWS itself where not given"),
    ITEM("aws-profile", CONF_STR, secrets.aws_profile, NULL,
         "of the shared credentials file; AWS_PROFILE or default where not given"),
    ITEM("kubernetes.server", CONF_STR, kubernetes.server, NULL,
         "https://host:port of the API server; where not given, that of the pod that the builder "
         "is"),
    ITEM("kubernetes.ca-file", CONF_STR, kubernetes.ca_file, NULL,
         "PEM file of the API server's authorities; the pod's, or the system's for a server that "
         "is given"),
    ITEM("kubernetes.token-file", CONF_STR, kubernetes.token_file, NULL,
         "file of the bearer token, read at each use; the pod's where not given"),
    ITEM("kubernetes.namespace", CONF_STR, kubernetes.namespace, NULL,
         "where Jobs are made; the pod's where not given"),
    ITEM("kubernetes.url", CONF_STR, kubernetes.url, NULL,
         "this builder's address as pods see it, such as https://builder.gantry.svc:8083; needed "
         "with the driver kubernetes"),
    ITEM("kubernetes.url-ca", CONF_STR, kubernetes.url_ca, NULL,
         "PEM file of the authorities whose certificate the address must have; the image's where "
         "not given"),
    ITEM("kubernetes.image", CONF_STR, kubernetes.image, NULL,
         "image of builds whose action names none"),
    ITEM("kubernetes.service-account", CONF_STR, kubernetes.service_account, NULL,
         "of builds whose action names none, with its token; the namespace's default without one "
         "where not given"),
    ITEM("kubernetes.node-selector", CONF_MAP, kubernetes.node_selector, NULL,
         "labels of the nodes that take builds whose action names none"),
    ITEM("kubernetes.user", CONF_INT, kubernetes.user, "1000",
         "user id and group id of the commands"),
    ITEM("kubernetes.start-timeout", CONF_DURATION, kubernetes.start_ms, "10m",
         "how long a Job may wait for its node and its image"),
    {0},
};
