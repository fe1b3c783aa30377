using System.Text;
using Agent.Receiver.Alerts;
using Agent.Dashboard.Web;
using Microsoft.FSharp.Core;

namespace Agent.Dashboard.Alerting;

/// <summary>A channel of alerts with its secrets, whose files are read again when they change.</summary>
internal sealed class Channel
{
    /// <summary>For so long an attempt, or one request of it, may take.</summary>
    public static readonly TimeSpan Deadline = TimeSpan.FromSeconds(15);

    private readonly WatchedFiles<ChannelSecrets> secrets;
    private readonly Func<string, Notice[], CancellationToken, Task<AttemptEnd>> send;

    private Channel(ChannelSettings settings, WatchedFiles<ChannelSecrets> secrets, HttpDelivery http, MailDelivery mail)
    {
        Settings = settings;
        this.secrets = secrets;
        send = settings.Kind.Match<Func<string, Notice[], CancellationToken, Task<AttemptEnd>>>(
            over => (id, notices, stop) => mail.Send(over, secrets.Current, id, notices, stop),
            over => (id, notices, stop) => http.Send(over, secrets.Current, id, notices, stop));
    }

    /// <summary>What the file of alerts says of it.</summary>
    public ChannelSettings Settings { get; }

    /// <summary>Opens a channel, and reads its secrets; the error is a sentence.</summary>
    /// <param name="settings">From the file of alerts.</param>
    /// <param name="place">Gives the path of a file that it names.</param>
    /// <param name="http">For those over HTTP.</param>
    /// <param name="mail">For mail.</param>
    /// <param name="complain">Takes sentences.</param>
    public static FSharpResult<Channel, string> Open(
        ChannelSettings settings, Func<string, string> place, HttpDelivery http, MailDelivery mail, Action<string> complain)
    {
        var paths = Array.ConvertAll(settings.Files, place.Invoke);
        var secrets = new WatchedFiles<ChannelSecrets>(
            $"--alerts: channel {settings.Name}",
            paths,
            ChannelSecretsModule.LongestFile,
            contents => ChannelSecretsModule.Read(settings, Array.ConvertAll(contents, Encoding.UTF8.GetString)),
            complain)
        {
            Describe = static _ => "changed, and is in use from now on",
        };

        if (secrets.Open() is { } problem)
        {
            return FSharpResult<Channel, string>.NewError(problem);
        }

        Array.ForEach(paths, path => PrivateText.WarnOfReaders($"--alerts: channel {settings.Name}", path, complain));
        return FSharpResult<Channel, string>.NewOk(new Channel(settings, secrets, http, mail));
    }

    /// <summary>Looks whether its secrets have changed.</summary>
    public void Poll() => secrets.Poll();

    /// <summary>Makes one attempt; never throws for what the other side does.</summary>
    /// <param name="id">Of the message, the same at each attempt.</param>
    /// <param name="notices">At least one.</param>
    /// <param name="stop">Gives it up.</param>
    public Task<AttemptEnd> Send(string id, Notice[] notices, CancellationToken stop) => send(id, notices, stop);
}
