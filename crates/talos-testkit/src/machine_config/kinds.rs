//! What documents a machine configuration may have, and which keys the oldest kind of document has.

/// Kinds of documents, all of version `v1alpha1`.
const KINDS: &str = "\
    ExistingVolumeConfig ExternalVolumeConfig FilesystemScrubConfig FilesystemTrimConfig RawVolumeConfig \
    SwapVolumeConfig UserVolumeConfig VolumeConfig ZswapConfig \
    DiscoveryIdentityConfig DiscoveryServiceConfig \
    ContainerConfig \
    CRIBaseRuntimeSpecConfig CRICustomizationConfig ImageCacheConfig RegistryAuthConfig RegistryMirrorConfig \
    RegistryTLSConfig \
    PCIDriverRebindConfig \
    KubeAdmissionControlConfig KubeAggregatorCAConfig KubeAPIServerCAConfig KubeAPIServerConfig \
    KubeAuditPolicyConfig KubeAuthenticationConfig KubeAuthorizerConfig KubeClusterConfig \
    KubeControllerManagerConfig KubeCoreDNSConfig KubeCredentialProviderConfig KubeEtcdEncryptionConfig \
    KubeExternalManifestConfig KubeFlannelCNIConfig KubeInlineManifestConfig KubeletConfig KubeNetworkConfig \
    KubeNodeConfig KubePrismConfig KubeProxyConfig KubeSchedulerConfig KubeServiceAccountConfig \
    KubeStaticPodConfig KubeTalosAPIAccessConfig \
    BGPInstanceConfig BlackholeRouteConfig BondConfig BridgeConfig DHCPv4Config DHCPv6Config DummyLinkConfig \
    EthernetConfig HCloudVIPConfig HostnameConfig HTTPProbeConfig KubeSpanConfig KubeSpanEndpointsConfig \
    Layer2VIPConfig LinkAliasConfig LinkConfig NetworkDefaultActionConfig NetworkRuleConfig ResolverConfig \
    RoutingRuleConfig StaticHostConfig TCPProbeConfig TimeSyncConfig VethConfig VLANConfig VRFConfig \
    WireguardConfig \
    EnvironmentConfig EtcFileConfig EventSinkConfig ExtensionServiceConfig KernelModuleConfig KmsgLogConfig \
    OOMConfig SecurityProfileConfig SysctlConfig SysfsConfig UdevRulesConfig UnattendedInstallConfig \
    WatchdogTimerConfig \
    ImageVerificationConfig TrustedRootsConfig \
    SideroLinkConfig \
    LVMLogicalVolumeConfig LVMVolumeGroupConfig RAIDArrayConfig";

/// Kinds that only nodes of the control plane may have.
const CONTROL_PLANE_KINDS: [&str; 15] = [
    "KubeAdmissionControlConfig",
    "KubeAggregatorCAConfig",
    "KubeAPIServerConfig",
    "KubeAuditPolicyConfig",
    "KubeAuthenticationConfig",
    "KubeAuthorizerConfig",
    "KubeControllerManagerConfig",
    "KubeCoreDNSConfig",
    "KubeEtcdEncryptionConfig",
    "KubeExternalManifestConfig",
    "KubeFlannelCNIConfig",
    "KubeInlineManifestConfig",
    "KubeProxyConfig",
    "KubeSchedulerConfig",
    "KubeServiceAccountConfig",
];

/// Top level keys of the document without a kind.
pub(super) const LEGACY: [&str; 5] = ["version", "debug", "persist", "machine", "cluster"];

/// Keys of its `machine` section.
pub(super) const MACHINE: &str = "\
    type token ca acceptedCAs certSANs controlPlane kubelet pods network disks install files env time sysctls \
    sysfs registries systemDiskEncryption features udev logging kernel seccompProfiles \
    baseRuntimeSpecOverrides nodeLabels nodeAnnotations nodeTaints";

/// Keys of its `cluster` section.
pub(super) const CLUSTER: &str = "\
    id secret controlPlane clusterName network token aescbcEncryptionSecret secretboxEncryptionSecret ca \
    acceptedCAs aggregatorCA serviceAccount apiServer controllerManager proxy scheduler discovery etcd coreDNS \
    externalCloudProvider extraManifests extraManifestHeaders inlineManifests adminKubeconfig \
    allowSchedulingOnMasters allowSchedulingOnControlPlanes";

pub(super) fn exists(kind: &str) -> bool {
    KINDS.split_whitespace().any(|known| known == kind)
}

pub(super) fn is_for_control_plane(kind: &str) -> bool {
    CONTROL_PLANE_KINDS.contains(&kind)
}
