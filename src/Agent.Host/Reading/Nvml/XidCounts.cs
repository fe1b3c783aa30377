using Agent.Core.Gpu;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>XID events since the agent started, by the key of the GPU's board. They outlast the library's openings. Safe for all threads.</summary>
internal sealed class XidCounts
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, Nvml.Xid> counts = new(StringComparer.Ordinal);
    private readonly HashSet<string> refused = new(StringComparer.Ordinal);

    /// <summary>
    /// From now on events of the watched ones of these boards would be told, so that none means that there was none. The others refuse to tell
    /// them: nobody knows any more what happens to those.
    /// </summary>
    public void Watch(IEnumerable<NvmlBoard> asked, IEnumerable<NvmlBoard> watched)
    {
        lock (gate)
        {
            refused.UnionWith(asked.Select(static board => board.Key));

            foreach (var board in watched)
            {
                refused.Remove(board.Key);
                counts.TryAdd(board.Key, new(0, 0));
            }
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
            return !refused.Contains(key) && counts.TryGetValue(key, out var xid) ? FSharpValueOption<Nvml.Xid>.NewValueSome(xid) : default;
        }
    }
}
