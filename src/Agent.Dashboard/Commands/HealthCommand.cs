using System.Net;
using System.Net.Sockets;
using Agent.Dashboard.Store;
using Agent.Dashboard.Web;
using Agent.Receiver;

namespace Agent.Dashboard.Commands;

/// <summary>The command <c>health</c>: asks the dashboard that serves a database, as monitors do, for those that have no client: an image has none.</summary>
internal static class HealthCommand
{
    /// <summary>The dashboard looks at its disk before it answers, and waits for it.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(8);

    /// <summary>Asks and prints what it says; the exit code.</summary>
    public static int Run(string database, CommandLineProgram program)
    {
        if (DatabaseLock.HolderOf(database) is not { } holder)
        {
            return program.Fail($"no dashboard serves \"{database}\"; start one with {program.Name} serve --database \"{database}\"");
        }

        if (!Uri.TryCreate(holder.Address, UriKind.Absolute, out var address))
        {
            return program.Fail($"{DatabaseHolderModule.Describe(holder)} does not listen yet");
        }

        // The certificate names the host that people type, and what is asked for is nobody's secret.
        using var handler = new SocketsHttpHandler
        {
            UseProxy = false,
            SslOptions = { RemoteCertificateValidationCallback = static (_, _, _, _) => true },
        };
        using var client = new HttpClient(handler) { Timeout = Patience };

        try
        {
            using var answer = client.Send(new HttpRequestMessage(HttpMethod.Get, new Uri(Own(address), OwnEndpoints.HealthPath)));
            using var body = new StreamReader(answer.Content.ReadAsStream());
            var said = body.ReadToEnd().TrimEnd();

            return answer.StatusCode == HttpStatusCode.OK
                ? program.Print(said + "\n")
                : program.Fail($"the dashboard at {address} says {(int)answer.StatusCode}: {said}");
        }
        catch (Exception unanswered) when (unanswered is HttpRequestException or IOException or SocketException or OperationCanceledException)
        {
            return program.Fail(
                $"{DatabaseHolderModule.Describe(holder)} does not answer within {Patience.TotalSeconds} s: {FaultReason.Of(unanswered)}");
        }
    }

    /// <summary>Where this machine reaches a dashboard that listens on all addresses.</summary>
    private static Uri Own(Uri listen) =>
        !IPAddress.TryParse(listen.Host.Trim('[', ']'), out var address) ? listen
        : address.Equals(IPAddress.Any) ? new UriBuilder(listen) { Host = IPAddress.Loopback.ToString() }.Uri
        : address.Equals(IPAddress.IPv6Any) ? new UriBuilder(listen) { Host = $"[{IPAddress.IPv6Loopback}]" }.Uri
        : listen;
}
