using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>The attempts to log in of late, by address and by account. What strangers make it remember is bounded.</summary>
internal sealed class AttemptLimits(AgentClock clock)
{
    private const int MostAddresses = 20000;

    /// <summary>Names that nobody has share so many accounts, so that a list of names that were tried does not grow.</summary>
    private const int UnknownAccounts = 1024;

    /// <summary>What addresses share when more than can be told apart have tried something in the last minute.</summary>
    private const string AllOthers = "";

    private readonly Lock gate = new();
    private readonly Dictionary<string, AddressAttempts> addresses = new(StringComparer.Ordinal);
    private readonly Dictionary<string, AccountAttempts> accounts = new(StringComparer.Ordinal);

    /// <summary>How many addresses are remembered.</summary>
    public int Addresses => addresses.Count;

    /// <summary>One more attempt from an address: zero, and it counts from now on, or how long to wait.</summary>
    public TimeSpan Begin(string address, out TimeSpan at)
    {
        lock (gate)
        {
            at = clock.Elapsed;
            var key = Key(address, at);
            var (wait, after) = Attempts.OfAddress(at, addresses.GetValueOrDefault(key, Attempts.noneOfAddress));
            addresses[key] = after;
            return wait;
        }
    }

    /// <summary>The same attempt, now that its account is known: zero if it may be looked at, or how long to wait.</summary>
    public TimeSpan Look(string account, string address, TimeSpan at)
    {
        lock (gate)
        {
            var (wait, after) = Attempts.OfAccount(at, address, accounts.GetValueOrDefault(account) ?? Attempts.noneOfAccount);
            accounts[account] = after;
            return wait;
        }
    }

    /// <summary>The attempt of that instant turned out right, and does not count against its address.</summary>
    public void Forgive(string address, TimeSpan at)
    {
        lock (gate)
        {
            if (addresses.TryGetValue(address, out var attempts))
            {
                addresses[address] = Attempts.Forgiven(at, attempts);
            }
        }
    }

    /// <summary>The attempt of that instant on an account turned out right.</summary>
    public void Succeed(string account, string address, TimeSpan at)
    {
        Forgive(address, at);

        lock (gate)
        {
            accounts[account] = Attempts.Succeeded(at, address, accounts.GetValueOrDefault(account) ?? Attempts.noneOfAccount);
        }
    }

    /// <summary>What the attempts on an account are counted under.</summary>
    public static string AccountKey(string name, bool isKnown) =>
        // The runtime's hash differs from start to start, so that nobody can tell which names share a number.
        isKnown ? $"known {name}" : $"unknown {(uint)string.GetHashCode(name, StringComparison.Ordinal) % UnknownAccounts}";

    private string Key(string address, TimeSpan now)
    {
        if (addresses.Count < MostAddresses || addresses.ContainsKey(address))
        {
            return address;
        }

        foreach (var (key, attempts) in addresses)
        {
            if (Attempts.IsIdle(now, attempts))
            {
                addresses.Remove(key);
            }
        }

        return addresses.Count < MostAddresses ? address : AllOthers;
    }
}
