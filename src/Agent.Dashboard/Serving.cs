using System.Buffers;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Agent.Receiver;
using Agent.Receiver.Alerts;
using Agent.Receiver.Cluster;
using Agent.Dashboard.Alerting;
using Agent.Dashboard.Cluster;
using Agent.Dashboard.Commands;
using Agent.Dashboard.State;
using Agent.Dashboard.Store;
using Agent.Dashboard.Web;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Data.Sqlite;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard;

/// <summary>The command <c>serve</c>: receives samples, stores them and shows the page until a signal ends it.</summary>
internal static class Serving
{
    private const long MinutesPerDay = 24 * 60;

    /// <summary>Runs until SIGTERM or Ctrl-C; the exit code.</summary>
    public static int Run(ServeSettings settings, AgentClock clock, CommandLineProgram program) =>
        Database.Misplaced(settings.Database) is { } misplaced
            ? program.Refuse([misplaced])
            : settings.State is { IsSome: true, Value: var shared }
                ? PostgresState.Open(shared, clock, program.Complain).Match(
                    state => Run(settings, state, clock, program),
                    unopened => CommandRun.Refusal(unopened, program))
                : Run(settings, null, clock, program);

    private static int Run(ServeSettings settings, PostgresState? state, AgentClock clock, CommandLineProgram program)
    {
        // Ends last: it gives the lease back, once nothing evaluates and nothing is delivered any more.
        using (state)
        {
            return AccessControl.Open(settings, state is null ? null : new SharedSessions(state, clock), clock, program.Complain).Match(
                access => Run(settings, state, access, clock, program),
                sentence => program.Refuse([sentence]));
        }
    }

    private static int Run(
        ServeSettings settings, PostgresState? state, AccessControl access, AgentClock clock, CommandLineProgram program)
    {
        using (access)
        {
            return ClusterHeaderFile.Open("--metrics-header-file", settings.MetricsHeaderFile, settings.MetricsTenant, program.Complain).Match(
                headers => settings.Alerts.File.Length == 0
                    ? Run(settings, state, access, headers, null, clock, program)
                    : Channels.Open(settings.Alerts.File, settings.LinkBase, program.Version, clock, program.Complain).Match(
                        channels => Run(settings, state, access, headers, channels, clock, program),
                        program.Refuse),
                unread => program.Refuse([unread]));
        }
    }

    private static int Run(
        ServeSettings settings,
        PostgresState? state,
        AccessControl access,
        ClusterHeaderFile headers,
        Channels? channels,
        AgentClock clock,
        CommandLineProgram program)
    {
        using (channels)
        {
            return Lock(settings.Database, clock).Match(
                held => Run(settings, state, held, access, headers, channels, channels?.Rules ?? RuleSettingsModule.empty, clock, program),
                refusal => refusal.IsInUse ? program.Refuse([refusal.Sentence]) : program.Fail(refusal.Sentence));
        }
    }

    /// <summary>Takes the database's lock; else why it cannot be taken, and whether another process holds it.</summary>
    private static FSharpResult<DatabaseLock, (bool IsInUse, string Sentence)> Lock(string database, AgentClock clock)
    {
        try
        {
            return DatabaseLock.Take(database, clock).SelectError(
                holder => (true, DatabaseHolderModule.Refusal(database, holder)));
        }
        catch (Exception failure) when (PrivateFiles.IsFault(failure))
        {
            return FSharpResult<DatabaseLock, (bool IsInUse, string Sentence)>.NewError(
                (false, $"--database: the lock file beside \"{database}\" cannot be created: {FaultReason.Of(failure)}; let this user write to that directory"));
        }
    }

    private static int Run(
        ServeSettings settings,
        PostgresState? state,
        DatabaseLock held,
        AccessControl access,
        ClusterHeaderFile headers,
        Channels? channels,
        RuleSettings rules,
        AgentClock clock,
        CommandLineProgram program)
    {
        using (held)
        {
            return Database.OpenForWriting(settings.Database, clock).Match(
                connection => Run(settings, state, held, connection, access, headers, channels, rules, clock, program),
                unopened => CommandRun.Refusal(unopened, program));
        }
    }

    private static int Run(
        ServeSettings settings,
        PostgresState? state,
        DatabaseLock held,
        SqliteConnection connection,
        AccessControl access,
        ClusterHeaderFile headers,
        Channels? channels,
        RuleSettings rules,
        AgentClock clock,
        CommandLineProgram program)
    {
        if ((state is null ? StateMirror.Alone(connection) : Foreign(settings, state, connection, clock)) is { } foreign)
        {
            connection.Dispose();
            return program.Refuse([foreign]);
        }

        // Before the writer, whose thread uses it until its end.
        using var systemd = Systemd.Open(Environment.GetEnvironmentVariable, Environment.ProcessId);
        Writer opened;

        try
        {
            opened = new Writer(connection, settings.Keeping, clock, program.Complain);
        }
        catch (Exception failure)
        {
            connection.Dispose();
            return program.Fail(Database.Sentence(settings.Database, failure));
        }

        using var writer = opened;
        IStateStore store = state is null ? writer : Follow(state, writer, program);
        using var readers = new Readers(settings.Database, settings.Keeping.RawHours, writer.Storage);
        var isCluster = settings.MetricsUrl.Length > 0;
        using var client = isCluster ? Client(settings, headers, clock, program) : null;
        using var fleet = client is null ? null : new ClusterFleet(client, writer, store, clock, program.Complain);
        var relaying = fleet is null || settings.MetricsWriteUrl.Length == 0
            ? FSharpResult<Relay?, string>.NewOk(null)
            : Relay.Open(settings, headers, fleet, program.Version, clock, program.Complain).Select(static opened => (Relay?)opened);

        if (relaying.IsError)
        {
            return program.Refuse([relaying.ErrorValue]);
        }

        using var relay = relaying.ResultValue;
        writer.Relay = relay;
        using var histories = new Histories(settings.Database, settings.Keeping.RawHours, writer.Storage, clock)
        {
            Elsewhere = client is null || fleet is null ? null : new ClusterReader(client, fleet, clock),
        };
        var watchdog = new Watchdog(systemd, () => Status(writer, clock), clock);
        var alerts = new AlertBook(store, rules, [.. (channels?.All ?? []).Select(static channel => channel.Settings.Name)], clock);
        alerts.Load().Wait();
        var app = Application.Build(settings, access, writer, store, readers, histories, alerts, channels, program.Version, clock, program.Complain);

        try
        {
            app.Start();
        }
        catch (Exception taken) when (taken is IOException or AddressInUseException or SocketException)
        {
            return program.Fail($"--listen: {settings.Listen.Url}: {Unbound(taken)}");
        }

        var address = Address(app);
        using var watch = new Watch(alerts, writer, histories, access.Tls, settings.Database, clock, program.Complain);
        watch.Start();
        using var courier = channels is null ? null : new Courier(channels, store, clock, program.Complain);
        held.Tell(address);
        state?.Begin($"{Environment.MachineName}, {address}", writer, settings.Keeping.Days);
        TellPublicUrl(settings, state);
        writer.Remember(Setting.Listen, address).Wait();
        writer.Remember(Setting.Cluster, isCluster ? "1" : "").Wait();
        writer.OnBeat = watchdog.Beat;
        app.Lifetime.ApplicationStopping.Register(watchdog.Stopping);
        program.Tell($"{program.Name} {program.Version} listens on {address}, database {settings.Database}");
        fleet?.Start();
        relay?.Start();

        if (isCluster)
        {
            program.Tell($"{program.Name} reads figures from {settings.MetricsUrl}");

            if (settings.State is { IsSome: true, Value: var shared })
            {
                program.Tell($"{program.Name} shares its state at {shared.Address.Url}");
            }
        }
        else
        {
            TellSize(settings, writer, program);
        }

        watchdog.Ready();
        _ = isCluster ? Task.CompletedTask : WarmUp(writer, histories, settings.Keeping.Days, clock);
        // The class library stops for Ctrl-C and SIGTERM; this is what a terminal sends as it closes.
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true;
            app.Lifetime.StopApplication();
        });
        app.WaitForShutdown();
        program.Tell(isCluster
            ? $"{program.Name} stopped"
            : $"{program.Name} stopped; {writer.Figures.Samples} samples stored");
        return ExitCode.Success;
    }

    /// <summary>Why the database cannot be used beside a state; null where it can.</summary>
    private static string? Foreign(ServeSettings settings, PostgresState state, SqliteConnection connection, AgentClock clock)
    {
        var id = "";
        return state.Read(one => id = Setting.Read(one, Setting.State)).Result
            ? StateMirror.Refusal(connection, settings.Database, id, clock)
            : $"--state: {state.Reason}";
    }

    /// <summary>Remembers where all dashboards of a state are reached, for the commands that registration prints.</summary>
    private static void TellPublicUrl(ServeSettings settings, PostgresState? state)
    {
        if (settings.Alerts.PublicUrl is { Length: > 0 } url)
        {
            state?.Register(connection =>
            {
                if (Setting.Read(connection, Setting.Listen) != url)
                {
                    Setting.Write(connection, Setting.Listen, url);
                }
            }).Wait();
        }
    }

    /// <summary>Tells of what becomes of the state that several dashboards share.</summary>
    private static PostgresState Follow(PostgresState state, Writer writer, CommandLineProgram program)
    {
        state.OnFailure = writer.Storage.StateFailed;
        state.OnWorks = writer.Storage.StateWorks;
        state.OnLease = isHeld => program.Tell(
            isHeld
                ? $"{program.Name} evaluates the rules of alerts from now on, and delivers their messages"
                : $"{program.Name} leaves the rules of alerts to another dashboard from now on");
        return state;
    }

    /// <summary>Asks the cluster of metrics, with the headers that its file has at the time.</summary>
    private static ClusterClient Client(ServeSettings settings, ClusterHeaderFile headers, AgentClock clock, CommandLineProgram program)
    {
        if (settings.MetricsWarning.Length > 0)
        {
            program.Complain(settings.MetricsWarning);
        }

        return new ClusterClient(settings.MetricsUrl, headers.Current, program.Version, clock);
    }

    /// <summary>Why nothing can listen at an address, and what to do.</summary>
    internal static string Unbound(Exception failure)
    {
        var socket = failure;

        while (socket is not SocketException && socket.InnerException is { } inner)
        {
            socket = inner;
        }

        return (socket as SocketException)?.SocketErrorCode switch
        {
            SocketError.AddressAlreadyInUse => "another program listens there already; choose another port, or stop that program",
            SocketError.AccessDenied =>
                "this user may not listen there; take a port from 1024 on, or put a reverse proxy in front",
            SocketError.AddressNotAvailable => "this machine does not have that address; ip address shows those it has",
            SocketError.AddressFamilyNotSupported => "this machine does not speak IPv6; give an IPv4 address",
            _ => socket.Message.TrimEnd('.'),
        };
    }

    /// <summary>Says how large the database comes to be, and whether the disk has room for that.</summary>
    private static void TellSize(ServeSettings settings, Writer writer, CommandLineProgram program)
    {
        ServerLoad[] loads;

        try
        {
            loads = Loads.Of(settings.Database, writer.Fleet.All);
        }
        catch (SqliteException failure)
        {
            writer.Storage.ReadFailed(failure);
            return;
        }

        var used = DiskSpace.SizeOf(settings.Database) + DiskSpace.SizeOf(settings.Database + "-wal");
        var free = DiskSpace.FreeFor(settings.Database);
        program.Tell($"{program.Name} {Sizing.Line(settings.Keeping, loads, used, free)}");

        if (Sizing.Warning(settings.Keeping, loads, used, free) is { IsSome: true, Value: var warning })
        {
            program.Complain(warning);
        }
    }

    private static string Status(Writer writer, AgentClock clock)
    {
        var now = clock.GetUtcNow();
        var servers = writer.Fleet.All;
        var live = servers.Count(server => Responses.StateName(server.View, now) == "live");
        return StorageModule.Status(live, servers.Count, writer.Storage.State);
    }

    /// <summary>
    /// Reads the longest history of one server and throws it away: the first caller would otherwise wait for the code to be compiled.
    /// </summary>
    private static async Task WarmUp(Writer writer, Histories histories, int days, AgentClock clock)
    {
        if (writer.Fleet.All.FirstOrDefault() is not { } server)
        {
            return;
        }

        var now = RowKey.Microseconds(clock.GetUtcNow());
        var from = now - (days * MinutesPerDay * RowKey.MicrosecondsPerMinute);

        try
        {
            await (histories.Make(
                server.Id,
                from,
                now,
                now,
                (history, _) =>
                {
                    Responses.HistoryInto(new ArrayBufferWriter<byte>(), server.Registration.Slug, history);
                    return true;
                },
                CancellationToken.None) ?? Task.FromResult(false));
        }
        catch (Exception tooMuch) when (tooMuch is WorkLimitException or SqliteException)
        {
            // Whoever asks for it hears of it.
        }
    }

    private static string Address(IHost app) =>
        app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()?.Addresses.FirstOrDefault() ?? "";
}
