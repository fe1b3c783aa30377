using System.Reactive.Concurrency;
using System.Runtime.InteropServices;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Buffering;
using Agent.Host.Diagnosing;
using Agent.Host.Exporting;
using Agent.Host.Posting;
using Agent.Host.Sampling;
using Agent.Host.Service;
using Microsoft.FSharp.Core;

namespace Agent.Host;

/// <summary>The composition root: settings → run mode → exit code.</summary>
internal static class Program
{
    /// <summary>Divides every duration. For tests of what takes long, and in no help.</summary>
    private const string TimeScaleVariable = "AI_DASHBOARD_TEST_TIME_SCALE";

    /// <summary>With --dry-run, takes so many samples one right after the other and prints what they cost. In no help either.</summary>
    private const string BackToBackVariable = "AI_DASHBOARD_TEST_BACK_TO_BACK";

    private const int MostBackToBack = 1_000_000;

    private static int Main(string[] argv)
    {
        StandardDescriptors.Ensure();
        StandardSignals.Ensure();
        using var ignored = Signals.IgnoreUser1();
        var isJournal = Journal.HasStandardError(Environment.GetEnvironmentVariable);
        using var program = new CommandLineProgram(
            Cli.ProgramName,
            typeof(Program).Assembly,
            StandardStream.Output,
            StandardStream.Errors,
            isJournal ? Journal.Prefix(LogLevel.Error) : "");

        return Cli.Parse(argv, Environment.GetEnvironmentVariable).Match(
            command => command.Match(
                help: text => program.Print(text),
                version: () => program.Print($"{program.Name} {program.Version}\n"),
                run: settings => Run(settings, program, isJournal)),
            problems => program.Refuse(problems.Select(static problem => problem.Message)));
    }

    private static int Run(Settings settings, CommandLineProgram program, bool isJournal)
    {
        if (NumberIn(TimeScaleVariable, 1, 1000) is not { } scale)
        {
            return program.Refuse([$"{TimeScaleVariable} is not a whole number from 1 to 1000"]);
        }

        if (NumberIn(BackToBackVariable, 0, MostBackToBack) is not { } samples || (samples > 0 && !settings.DryRun))
        {
            return program.Refuse([$"{BackToBackVariable} is not a whole number up to {MostBackToBack} beside --dry-run"]);
        }

        var clock = new AgentClock(scale);

        if (settings.Health || settings.WhyJob.Length > 0)
        {
            return new AgentQuestion(settings, program).Run();
        }

        // Before anything touches a certificate.
        if (OpenSsl.Problems(settings) is { Length: > 0 } missing)
        {
            return program.Refuse(missing);
        }

        var trust = TlsTrust.Open(settings, clock);

        if (settings.Why.IsSome)
        {
            using var signals = new Signals();
            return MissingDirectories(settings).ToArray() is { Length: > 0 } missingRoots
                ? program.Refuse(missingRoots)
                : new Diagnosing.Why(settings, program, clock, signals).Run();
        }

        if (settings.Doctor)
        {
            settings = AsEnrolled(settings, program.Complain);

            return trust.Match(
                good => new Doctor(settings, good, program, clock).Run(),
                bad => program.Refuse(bad.Select(static problem => problem.Message)));
        }

        settings = AsEnrolled(settings, program.Complain);
        FSharpResult<TokenSource, ConfigError>? token =
            settings.DryRun ? null
            : settings.Target is { IsSome: true, Value: var target } ? TokenSource.Open(target.Token)
            : settings.Enrolment is { IsSome: true, Value: var enrolment } ? TokenSource.Open(enrolment.Key)
            : null;
        FSharpResult<TokenSource, ConfigError>? scrapeToken =
            settings.ListenToken.IsNone ? null : TokenSource.Open(settings.ListenToken.Value);
        var headers = HeadersFor(settings.RemoteWrite);
        var otlpHeaders = HeadersFor(settings.Otlp);
        string[] problems =
        [
            .. MissingDirectories(settings),
            .. UnusableProxies(settings),
            .. trust.Match(static _ => [], static errors => errors.Select(static error => error.Message)),
            .. token?.Match(static _ => [], static error => (string[])[error.Message]) ?? [],
            .. scrapeToken?.Match(static _ => [], static error => (string[])[error.Message]) ?? [],
            .. headers?.Match(static _ => [], static error => (string[])[error.Message]) ?? [],
            .. otlpHeaders?.Match(static _ => [], static error => (string[])[error.Message]) ?? [],
        ];

        return problems.Length > 0
            ? program.Refuse(problems)
            : Run(
                settings,
                new Secrets(token?.ResultValue, scrapeToken?.ResultValue, headers?.ResultValue, otlpHeaders?.ResultValue),
                trust.ResultValue,
                clock,
                new Seams(scale, samples),
                program,
                new Log(program.Output, program.Errors, settings.LogLevel, settings.Quiet, clock, isJournal));
    }

    private static int Run(
        Settings settings,
        Secrets secrets,
        TlsTrust trust,
        AgentClock clock,
        Seams seams,
        CommandLineProgram program,
        Log log)
    {
        foreach (var warning in settings.Warnings)
        {
            log.Warning(warning);
        }

        string?[] exposures =
            [secrets.Token?.Warning, secrets.ScrapeToken?.Warning, secrets.Headers?.Warning, secrets.OtlpHeaders?.Warning];

        foreach (var warning in exposures)
        {
            if (warning is { Length: > 0 })
            {
                log.Warning(warning);
            }
        }

        if (seams.Scale > 1)
        {
            log.Warning($"{TimeScaleVariable} is set: every duration is divided by {seams.Scale}");
        }

        if (settings.IsTokenInClear)
        {
            log.Warning("--host: the token goes there without encryption, so anyone on the network path can read it; use https");
        }

        if (settings.Insecure)
        {
            log.Warning("--insecure: TLS certificates are not verified; anyone on the network path can read the token");
        }

        try
        {
            using var signals = new Signals();
            using var systemd = Systemd.Open(Environment.GetEnvironmentVariable, Environment.ProcessId);

            if (!settings.DryRun && settings.Enrolment is { IsSome: true, Value: var enrolment })
            {
                var enroller = new Enroller(enrolment, secrets.Token!, trust, settings, UserAgent(program.Version), clock, log);

                if (enroller.Run(signals, systemd) is not { } enrolled)
                {
                    return settings.Once ? ExitCode.Failure : ExitCode.Success;
                }

                var granted = TokenSource.Open(enrolled.Target.Value.Token);

                if (!granted.IsOk)
                {
                    return program.Fail(granted.ErrorValue.Message);
                }

                settings = enrolled;
                secrets = secrets with { Token = granted.ResultValue };
            }

            FSharpResult<MetricsEndpoint, ConfigError>? endpoint =
                settings.Listen.IsNone ? null : MetricsEndpoint.Open(settings.Listen.Value, clock);

            using var listening = endpoint is { IsOk: true } ? endpoint.Value.ResultValue : null;

            return endpoint is { IsOk: false }
                ? program.Refuse([endpoint.Value.ErrorValue.Message])
                : (from ingest in OpenOutbox(settings.Target.IsSome && !settings.DryRun, settings, "ingest", clock, log)
                   from remote in OpenOutbox(settings.RemoteWrite.IsSome, settings, "remote-write", clock, log)
                   from otlp in OpenOutbox(settings.Otlp.IsSome, settings, "otlp", clock, log)
                   select new Outboxes(ingest, remote, otlp)).Match(
                    opened => Run(settings, secrets, trust, opened, listening, clock, seams, program.Version, signals, systemd, log),
                    error => program.Refuse([error.ToString()]));
        }
        catch (Exception few) when (few is ThreadLimitException or OutOfMemoryException)
        {
            // The second is what the class library makes of it where it needs a thread itself.
            log.Critical($"the agent cannot run: {(few as ThreadLimitException ?? new(few)).Message}");
            return ExitCode.Failure;
        }
        catch (Exception defect)
        {
            log.Critical($"a defect of the agent ended it: {defect.GetType().Name}: {defect.Message}");
            log.Debug(defect.ToString());
            return ExitCode.Failure;
        }
        finally
        {
            log.Finish();
        }
    }

    private static int Run(
        Settings settings,
        Secrets secrets,
        TlsTrust trust,
        Outboxes outboxes,
        MetricsEndpoint? endpoint,
        AgentClock clock,
        Seams seams,
        string version,
        Signals signals,
        Systemd systemd,
        Log log)
    {
        var identity = new Identity(version, settings.Hostname, RuntimeInformation.FrameworkDescription, Environment.ProcessId);
        var parts = new RunParts(settings, identity, clock, log, signals, systemd);
        using var agent = new AgentRun(parts, withMetrics: endpoint is not null || outboxes.RemoteWrite is not null || outboxes.Otlp is not null);

        if (seams.BackToBack > 0)
        {
            log.Result(agent.Measure(seams.BackToBack).ToString());
            return CodeOf(log);
        }

        var ingest = outboxes.Ingest is null
            ? null
            : agent.AddIngest(outboxes.Ingest, Client(new IngestTemplate(settings.Target.Value, secrets.Token!), trust, settings, version, clock));

        if (outboxes.RemoteWrite is { } remote)
        {
            var template = ReceiverTemplate.RemoteWrite(settings.RemoteWrite.Value.Endpoint, secrets.Headers);
            agent.AddRemoteWrite(remote, ReceiverClient(template, settings, version, clock), template, secrets.Headers);
        }

        if (outboxes.Otlp is { } otlp)
        {
            agent.AddOtlp(
                otlp,
                ReceiverClient(ReceiverTemplate.Otlp(settings.Otlp.Value.Endpoint, secrets.OtlpHeaders), settings, version, clock),
                secrets.OtlpHeaders);
        }

        if (!settings.DryRun)
        {
            foreach (var line in StartLine.Of(settings, version, endpoint?.Address.ToString(), agent.TrackedDisks()))
            {
                log.Routine(line);
            }
        }

        if (endpoint is not null)
        {
            agent.Serve(endpoint, secrets.ScrapeToken);
        }

        agent.Run();

        if (!settings.Once && !settings.DryRun)
        {
            log.Routine("Agent stopped.");
        }

        return settings.Once && ingest is { IsNewestDelivered: false } ? ExitCode.Failure : CodeOf(log);
    }

    /// <summary>A failure, which is said, where what was asked for could not be written.</summary>
    private static int CodeOf(Log log)
    {
        if (log.ResultFault.Length == 0)
        {
            return ExitCode.Success;
        }

        log.Critical(CommandLineProgram.Unwritten(log.ResultFault));
        return ExitCode.Failure;
    }

    private static string UserAgent(string version) => $"{Cli.ProgramName}/{version}";

    /// <summary>The settings with the slug and the token of an earlier enrolment, if there was one.</summary>
    private static Settings AsEnrolled(Settings settings, Action<string> complain) =>
        !settings.DryRun && settings.Enrolment is { IsSome: true, Value: var enrolment }
            ? new EnrolmentStore(enrolment, settings).Kept(complain) ?? settings
            : settings;

    private static SampleClient Client(IRequestTemplate template, TlsTrust trust, Settings settings, string version, AgentClock clock) =>
        new(template, trust, settings.Interval, settings.Timeout, UserAgent(version), clock);

    // Each client has the trust for itself.
    private static SampleClient ReceiverClient(IRequestTemplate template, Settings settings, string version, AgentClock clock) =>
        Client(template, TlsTrust.Open(settings, clock).ResultValue, settings, version, clock);

    /// <summary>The headers of a receiver, or the sentence that says why they cannot be had; null where none are given.</summary>
    private static FSharpResult<HeaderSource, ConfigError>? HeadersFor(FSharpValueOption<ReceiverTarget> target) =>
        target is { IsSome: true, Value: { HeaderFile.Length: > 0 } receiver }
            ? HeaderSource.Open(receiver.HeaderFile, receiver.HeaderOrigin)
            : null;

    // Where the first stream of a spool is in use by another agent, so are the others: nothing is open that would have to be closed.
    private static FSharpResult<IOutbox?, SpoolError> OpenOutbox(
        bool isWanted, Settings settings, string stream, AgentClock clock, Log log)
    {
        if (!isWanted)
        {
            return FSharpResult<IOutbox?, SpoolError>.NewOk(null);
        }

        return settings.Spool.Length == 0
            ? FSharpResult<IOutbox?, SpoolError>.NewOk(new Outbox(Outbox.DefaultCapacity))
            : SpoolDirectory
                .Open(Path.Join(settings.Spool, stream), (long)settings.SpoolLimit, Outbox.DefaultCapacity, clock, log.Warning)
                .Select(static IOutbox? (spool) => spool);
    }

    private static IEnumerable<string> UnusableProxies(Settings settings)
    {
        Uri?[] endpoints =
        [
            settings.DryRun || settings.Target.IsNone ? null : settings.Target.Value.Endpoint,
            settings.DryRun || settings.Enrolment.IsNone ? null : settings.Enrolment.Value.Endpoint,
            settings.RemoteWrite.IsNone ? null : settings.RemoteWrite.Value.Endpoint,
            settings.Otlp.IsNone ? null : settings.Otlp.Value.Endpoint,
        ];

        return endpoints
            .OfType<Uri>()
            .Select(static endpoint => SystemProxy.RouteTo(endpoint).Match(
                direct: static () => "", through: static (_, _, _) => "", unusable: static error => error.Message))
            .Where(static message => message.Length > 0)
            .Distinct();
    }

    private static IEnumerable<string> MissingDirectories(Settings settings) =>
        from root in new (string Flag, string Path)[]
        {
            ("--procfs", settings.ProcFs), ("--sysfs", settings.SysFs), ("--rootfs", settings.RootFs),
        }
        where !Directory.Exists(root.Path)
        select $"{root.Flag}: \"{root.Path}\" is not a directory";

    /// <summary>The whole number in a variable, the lowest where it is not set; null for anything else.</summary>
    private static int? NumberIn(string variable, int lowest, int highest) =>
        Environment.GetEnvironmentVariable(variable) switch
        {
            null or "" => lowest,
            var text when int.TryParse(text, out var number) && number >= lowest && number <= highest => number,
            _ => null,
        };

    /// <summary>What is in no log, error or file.</summary>
    /// <param name="Token">The token to send to the webapp; null where nothing is sent there.</param>
    /// <param name="ScrapeToken">The token that readers of the metrics show; null where none is wanted.</param>
    /// <param name="Headers">The headers of remote-write; null for none.</param>
    /// <param name="OtlpHeaders">Those of OTLP; null for none.</param>
    private sealed record Secrets(TokenSource? Token, TokenSource? ScrapeToken, HeaderSource? Headers, HeaderSource? OtlpHeaders);

    /// <summary>What keeps samples for each destination; null where there is none.</summary>
    private sealed record Outboxes(IOutbox? Ingest, IOutbox? RemoteWrite, IOutbox? Otlp);

    /// <summary>What tests and benchmarks ask for by variables.</summary>
    /// <param name="Scale">Every duration is divided by it.</param>
    /// <param name="BackToBack">So many samples are taken without waiting; 0 for the ordinary run.</param>
    private readonly record struct Seams(int Scale, int BackToBack);
}
