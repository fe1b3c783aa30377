using System.Collections.Concurrent;
using Agent.Receiver;
using Microsoft.Data.Sqlite;

namespace Agent.Dashboard.Store;

/// <summary>The servers that are registered. The writer's thread keeps them as the database has them.</summary>
internal sealed class Fleet
{
    private readonly ConcurrentDictionary<string, LiveServer> bySlug = new(StringComparer.Ordinal);

    /// <summary>All of them, in no order.</summary>
    public ICollection<LiveServer> All => bySlug.Values;

    /// <summary>The server of that slug, or null.</summary>
    public LiveServer? Find(string slug) => bySlug.GetValueOrDefault(slug);

    /// <summary>
    /// Reads the registrations again and returns those of new servers. Removed ones are dropped, and hasDropped says whether there was one.
    /// </summary>
    public List<LiveServer> Reload(SqliteConnection connection, out bool hasDropped)
    {
        hasDropped = false;
        var added = new List<LiveServer>();
        var registered = Registrations.All(connection);

        foreach (var gone in bySlug.Keys.Except(registered.Select(static server => server.Registration.Slug)).ToArray())
        {
            bySlug.TryRemove(gone, out _);
            hasDropped = true;
        }

        foreach (var (registration, agent) in registered)
        {
            // A server that was removed and registered again is another one.
            if (bySlug.TryGetValue(registration.Slug, out var known)
                && known.Id == registration.Id
                && known.Registration.CreatedAt == registration.CreatedAt)
            {
                known.Registration = registration;
                known.Publish();
            }
            else
            {
                hasDropped |= known is not null;
                added.Add(bySlug[registration.Slug] = new LiveServer(registration, agent));
            }
        }

        return added;
    }
}
