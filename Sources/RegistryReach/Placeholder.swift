enum RegistryReachPlaceholder {}
