using Agent.Core.Gpu;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>XID events since the agent started, by the key of the GPU's board. They outlast the library's openings. Safe for all threads.</summary>
internal sealed class XidCounts
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, Nvml.Xid> counts = new(StringComparer.Ordinal);

    /// <summary>From now on events of this GPU would be told, so that none means that there was none.</summary>
    public void Watch(string key)
    {
        lock (gate)
        {
            counts.TryAdd(key, new(0, 0));
        }
    }

    /// <summary>Counts one event.</summary>
    public void Add(string key, ulong code)
    {
        lock (gate)
        {
            counts[key] = new(code, counts.GetValueOrDefault(key).Count + 1);
        }
    }

    /// <summary>What has happened; none where events were never told.</summary>
    public FSharpValueOption<Nvml.Xid> Of(string key)
    {
        lock (gate)
        {
            return counts.TryGetValue(key, out var xid) ? FSharpValueOption<Nvml.Xid>.NewValueSome(xid) : default;
        }
    }
}
