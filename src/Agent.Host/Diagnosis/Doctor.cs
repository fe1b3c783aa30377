using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Agent.Host.Posting;
using Microsoft.FSharp.Core;
using Agent.Host.Service;

namespace Agent.Host.Diagnosing;

/// <summary>
/// Runs every check once and prints what each came to. What a fact means is decided by <see cref="Diagnosis"/>.
/// </summary>
internal sealed class Doctor(Settings settings, TlsTrust trust, CommandLineProgram program, AgentClock clock)
{
    /// <summary>A request may take --timeout, but a diagnosis not forever.</summary>
    private static readonly TimeSpan LongestRequest = TimeSpan.FromSeconds(8);

    /// <summary>For the question that follows a 404.</summary>
    private static readonly TimeSpan LongestQuestion = TimeSpan.FromSeconds(2);

    private TimeSpan Limit => settings.Timeout < LongestRequest ? settings.Timeout : LongestRequest;

    private string UserAgent => $"{Cli.ProgramName}/{program.Version}";

    /// <summary>Prints the report; the exit code, which is 0 unless something is wrong.</summary>
    public int Run()
    {
        using var machine = new MachineChecks(settings, program.Version, clock);
        var surroundings = new SurroundingChecks(settings, clock);
        var opened = Opened();
        var way = Way(machine, opened).ToArray();

        Row[] rows =
        [
            .. Diagnosis.Configuration(settings, Token(opened)),
            .. way,
            .. Receiver(settings.RemoteWrite, "remote-write", ReceiverTemplate.RemoteWrite, AskRemoteWrite, Diagnosis.RemoteWrite),
            .. Receiver(settings.Otlp, "otlp", ReceiverTemplate.Otlp, AskOtlp, Diagnosis.Otlp),
            .. surroundings.Listening(),
            .. machine.Rows(),
            .. Streams().Select(surroundings.Spool),
            surroundings.Container(),
        ];

        var printed = program.Print(
            settings.Json
                ? Terminal.Json(DoctorReport.ToJson(program.Version, rows)) + "\n"
                : string.Join('\n', DoctorReport.Table(rows).Split('\n').Select(TerminalText.OneLine)));
        return DoctorReport.IsHealthy(rows) ? printed : ExitCode.Failure;
    }

    private FSharpResult<TokenSource, ConfigError>? Opened() =>
        settings.Target.IsSome ? TokenSource.Open(settings.Target.Value.Token) : null;

    private static FSharpValueOption<FSharpResult<string, ConfigError>> Token(FSharpResult<TokenSource, ConfigError>? opened) =>
        opened is { } result
            ? FSharpValueOption<FSharpResult<string, ConfigError>>.NewValueSome(result.Select(static token => token.Warning))
            : default;

    private IEnumerable<Row> Way(MachineChecks machine, FSharpResult<TokenSource, ConfigError>? opened)
    {
        if (settings.BaseUrl.IsNone)
        {
            return [Diagnosis.NoWebapp(settings)];
        }

        var network = new NetworkChecks(settings.BaseUrl.Value, clock);
        var isTls = settings.BaseUrl.Value.Scheme == Uri.UriSchemeHttps;
        var rows = new List<Row> { network.Dns() };
        var exchange = default(FSharpValueOption<Exchange>);
        var ingest = DoctorRow.NotChecked("ingest", "there is no connection");

        if (network.IsResolved)
        {
            rows.Add(network.Tcp());
        }
        else
        {
            rows.Add(DoctorRow.NotChecked("TCP", "the name does not resolve"));
        }

        if (network.IsConnected)
        {
            network.Handshake(isTls);
            (ingest, exchange) = Ingest(machine, opened);
        }

        if (isTls)
        {
            rows.Add(
                network.IsConnected
                    ? network.Tls(settings, clock.GetUtcNow(), exchange)
                    : DoctorRow.NotChecked("TLS", "there is no connection"));
        }

        rows.Add(ingest);
        rows.Add(Diagnosis.Clock(settings, clock.GetUtcNow(), exchange));
        return rows;
    }

    // As the agent lays them out. What is only fetched is never undelivered.
    private string[] Streams()
    {
        string[] receivers =
        [
            .. settings.RemoteWrite.IsSome ? ["remote-write"] : (string[])[],
            .. settings.Otlp.IsSome ? ["otlp"] : (string[])[],
        ];

        return settings.WantsMetricsAlone ? receivers : ["ingest", .. receivers];
    }

    private IEnumerable<Row> Receiver(
        FSharpValueOption<ReceiverTarget> target,
        string check,
        Func<Uri, HeaderSource?, ReceiverTemplate> template,
        Func<SampleClient, ReceiverTemplate, Exchange> ask,
        Func<string, DateTimeOffset, Exchange, Row> judge)
    {
        if (target.IsNone)
        {
            return [];
        }

        var receiver = target.Value;

        if (receiver.HeaderFile.Length == 0)
        {
            return [Probe(null)];
        }

        var opened = HeaderSource.Open(receiver.HeaderFile, receiver.HeaderOrigin);

        return
        [
            Diagnosis.Headers(opened.Select(static headers => headers.Warning)),
            opened.Match(Probe, _ => DoctorRow.NotChecked(check, "its headers cannot be read")),
        ];

        Row Probe(HeaderSource? headers)
        {
            var parts = template(receiver.Endpoint, headers);
            using var client = new SampleClient(
                parts,
                TlsTrust.Open(settings, clock).ResultValue,
                settings.Interval,
                Limit,
                UserAgent,
                clock);

            var begin = clock.Elapsed;
            var exchange = ask(client, parts);
            return DoctorRow.Timed(clock.Elapsed - begin, judge(receiver.Shown, clock.GetUtcNow(), exchange));
        }
    }

    private static Exchange AskRemoteWrite(SampleClient client, ReceiverTemplate template) => RemoteDelivery.Probe((version, body) =>
    {
        template.Speak(RemoteWrite.Headers(version));
        return client.Post(body, CancellationToken.None);
    });

    private static Exchange AskOtlp(SampleClient client, ReceiverTemplate template) =>
        client.Post(Otlp.EmptyRequest(), CancellationToken.None);

    private (Row Row, FSharpValueOption<Exchange> Exchange) Ingest(
        MachineChecks machine, FSharpResult<TokenSource, ConfigError>? opened)
    {
        if (settings.DryRun)
        {
            return (DoctorRow.LeftOut("ingest"), default);
        }

        if (opened is not { } result)
        {
            return (DoctorRow.NotChecked("ingest", "there is no target"), default);
        }

        return result.Match(
            token => machine.Sample() is { } sample
                ? Post(token, sample)
                : (DoctorRow.NotChecked("ingest", "no sample could be taken in time"), default),
            static _ => (DoctorRow.NotChecked("ingest", "there is no usable token"), default));
    }

    private (Row Row, FSharpValueOption<Exchange> Exchange) Post(TokenSource token, ReadOnlyMemory<byte> sample)
    {
        using var client = new SampleClient(
            new IngestTemplate(settings.Target.Value, token), trust, settings.Interval, Limit, UserAgent, clock);

        var begin = clock.Elapsed;
        var exchange = client.Post(sample, CancellationToken.None);
        var duration = clock.Elapsed - begin;
        var now = clock.GetUtcNow();
        var isLost = Advice.OfExchange(now, exchange) is { IsSome: true } cause && cause.Value.Equals(Cause.NotFound);
        var route = isLost ? client.AskForRoute(LongestQuestion, CancellationToken.None) : default;

        return (
            DoctorRow.Timed(duration, Diagnosis.Ingest(now, exchange, route)),
            FSharpValueOption<Exchange>.NewValueSome(exchange));
    }
}
