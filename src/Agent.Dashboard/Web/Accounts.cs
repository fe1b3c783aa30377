using System.Text;
using Agent.Receiver;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Web;

/// <summary>Somebody who may log in.</summary>
/// <param name="Name">The name; empty for the viewers who share one password.</param>
/// <param name="Role">What may be done.</param>
/// <param name="Password">What is kept of the password; null where a provider asks for it.</param>
/// <param name="Stamp">Changes with the password.</param>
internal sealed record Account(string Name, Role Role, PasswordHash? Password, string Stamp)
{
    /// <summary>From a user.</summary>
    public static Account Of(User user) => new(user.Name, user.Role, user.Password, Passwords.Stamp(user.Password));

    /// <summary>The viewers who share one password.</summary>
    public static Account Viewers(PasswordHash password) => new("", Role.Viewer, password, Passwords.Stamp(password));
}

/// <summary>Those who may log in: the users of a file, and the viewers with one password. One password is tried at a time.</summary>
internal sealed class Accounts(WatchedFiles<Dictionary<string, Account>>? users, Account? viewers, ProviderAccounts? provider)
{
    /// <summary>So many attempts wait for their turn to be computed; a burst from many addresses takes no more of the machine.</summary>
    private const int MostWaiting = 16;

    /// <summary>What a name that nobody has is compared with, so that its answer takes as long.</summary>
    private static readonly PasswordHash Nobody =
        new(Credentials.Iterations, new byte[Credentials.SaltBytes], new byte[Credentials.HashBytes]);

    private readonly SemaphoreSlim turn = new(1);
    private int waiting;

    /// <summary>Whether anybody logs in with a password.</summary>
    public bool HasPasswords => users is not null || viewers is not null;

    /// <summary>Those whom a provider lets in; null without one.</summary>
    public ProviderAccounts? Provider => provider;

    /// <summary>Whether names are asked for.</summary>
    public bool HasNames => users is not null;

    /// <summary>The account of a name, or null.</summary>
    public Account? Find(string name) =>
        name.Length == 0 ? viewers
        : users is null ? null
        : users.Current.GetValueOrDefault(name);

    /// <summary>The account that a session belongs to; null where it is gone, or has another password by now.</summary>
    public Account? Of(SessionRecord session) =>
        Find(session.Name) is { } account && account.Stamp == session.Stamp ? account : provider?.Of(session);

    /// <summary>The account of a name at a log-in: somebody may have been added a moment ago, and viewers with one password need no name.</summary>
    public Account? FindNow(string name)
    {
        users?.Poll();
        return HasNames ? Find(name) : viewers;
    }

    /// <summary>Whether it is the account's password; null when too many wait already.</summary>
    public async Task<bool?> Verify(Account? account, string password, CancellationToken stop)
    {
        if (Interlocked.Increment(ref waiting) > MostWaiting)
        {
            Interlocked.Decrement(ref waiting);
            return null;
        }

        try
        {
            await turn.WaitAsync(stop);

            try
            {
                return await Task.Run(() => Passwords.Matches(password, account?.Password ?? Nobody) && account?.Password is not null, stop);
            }
            finally
            {
                turn.Release();
            }
        }
        finally
        {
            Interlocked.Decrement(ref waiting);
        }
    }

    /// <summary>The users of a file by name, or what is wrong with it.</summary>
    public static FSharpResult<Dictionary<string, Account>, string> Read(byte[][] contents) =>
        Credentials.Users(Encoding.UTF8.GetString(contents[0]))
            .Select(static users => users.ToDictionary(static user => user.Name, Account.Of, StringComparer.Ordinal));
}
