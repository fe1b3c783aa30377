namespace Agent.Host.Reading;

/// <summary>
/// Whether the kernel has suspended a PCI device (Documentation/power/runtime_pm.rst): such a device is woken by the first question.
/// Most are never suspended, and the kernel says of those so; only the others are looked at for each reading. For one thread alone, but
/// for <see cref="IsSuspended"/>.
/// </summary>
/// <param name="sysfs">Where /sys is.</param>
internal sealed class RuntimePower(string sysfs)
{
    private volatile HashSet<string> managed = [];

    /// <summary>Finds out anew which of these devices the kernel may suspend: power/control is "auto".</summary>
    public void Look(IEnumerable<string> busIds) =>
        managed = [.. busIds.Where(busId => busId.Length > 0 && Says(busId, "control", "auto"))];

    /// <summary>True while it is suspended.</summary>
    /// <param name="busId">As NVML tells it, such as 00000000:65:00.0.</param>
    public bool IsSuspended(string busId) => managed.Contains(busId) && Says(busId, "runtime_status", "suspended");

    // NVML's domains have eight digits, and those of /sys four.
    private bool Says(string busId, string file, string word)
    {
        var name = busId.IndexOf(':', StringComparison.Ordinal) is 8 ? busId[4..] : busId;

        try
        {
            return File.ReadAllText(Path.Join(sysfs, "bus/pci/devices", name.ToLowerInvariant(), "power", file)).Trim() == word;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
