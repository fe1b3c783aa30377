using System.Net.Sockets;
using Agent.Receiver.Alerts;
using MailKit;
using MailKit.Net.Smtp;
using MailKit.Security;
using Microsoft.FSharp.Core;
using MimeKit;
using MimeKit.Text;

namespace Agent.Dashboard.Alerting;

/// <summary>Sends messages as mail, a connection for each.</summary>
internal sealed class MailDelivery(string linkBase, AgentClock clock)
{
    /// <summary>Authentication is missing, weak or wrong, which the operator of the mail server or of the dashboard can fix.</summary>
    private static readonly int[] Authentication = [530, 534, 535, 538];

    /// <summary>Makes one attempt; never throws for what the other side does.</summary>
    public async Task<AttemptEnd> Send(
        MailChannel channel, ChannelSecrets secrets, string id, Notice[] notices, CancellationToken stop)
    {
        using var late = new CancellationTokenSource(Channel.Deadline, clock);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(late.Token, stop);
        using var client = new Client();

        try
        {
            var security = channel.Security.IsTls ? SecureSocketOptions.SslOnConnect
                : channel.Security.IsStartTls ? SecureSocketOptions.StartTls
                : SecureSocketOptions.None;
            await client.ConnectAsync(channel.Host, channel.Port, security, end.Token);

            if (channel.User.Length > 0)
            {
                await client.AuthenticateAsync(channel.User, secrets.Token, end.Token);
            }

            using var message = Compose(channel, id, notices);
            var answer = await client.SendAsync(message, end.Token);
            await Leave(client, end.Token);
            return AttemptEnd.NewDelivered(client.Refusals.Count == 0 ? answer : $"{answer}; refused: {string.Join("; ", client.Refusals)}");
        }
        catch (OperationCanceledException)
        {
            return Failed(late.IsCancellationRequested
                ? $"not done within {Channel.Deadline.TotalSeconds:0} s"
                : "the dashboard stopped before the mail was taken");
        }
        catch (SmtpCommandException refused) when (
            (int)refused.StatusCode is >= 500 and < 600 && !Authentication.Contains((int)refused.StatusCode))
        {
            return AttemptEnd.NewRefused(Said(refused));
        }
        catch (SmtpCommandException refused)
        {
            return Failed(Said(refused));
        }
        catch (AuthenticationException wrong)
        {
            return Failed($"user {channel.User} cannot log in: {wrong.Message}");
        }
        catch (Exception failure) when (failure is SocketException or IOException or ProtocolException or SslHandshakeException
            or NotSupportedException or ServiceNotConnectedException or ServiceNotAuthenticatedException)
        {
            return Failed($"{channel.Host}:{channel.Port}: {NetworkReason.Of(failure)}");
        }
    }

    private MimeMessage Compose(MailChannel channel, string id, Notice[] notices)
    {
        var told = Messages.Of(linkBase, id, notices);
        var message = new MimeMessage
        {
            Subject = told.Title,
            Body = new TextPart(TextFormat.Plain)
            {
                Text = string.Join("\n\n", Messages.Lines(told)) + (linkBase.Length > 0 ? $"\n\n-- \n{linkBase}\n" : "\n"),
            },
            Date = clock.GetUtcNow(),
            // By it a reader's program recognises a repetition.
            MessageId = $"{id}@{channel.From[(channel.From.LastIndexOf('@') + 1)..]}",
        };
        message.From.Add(new MailboxAddress("ai-dashboard", channel.From));
        message.To.AddRange(channel.To.Select(static address => new MailboxAddress("", address)));
        // RFC 3834: nobody's holiday answers it.
        message.Headers.Add("Auto-Submitted", "auto-generated");
        return message;
    }

    private static async Task Leave(Client client, CancellationToken stop)
    {
        try
        {
            await client.DisconnectAsync(quit: true, stop);
        }
        catch (Exception gone) when (gone is IOException or SocketException or ProtocolException or OperationCanceledException or CommandException)
        {
            // It has the mail.
        }
    }

    private static string Said(SmtpCommandException refused) => $"{(int)refused.StatusCode} {refused.Message.Trim()}";

    private static AttemptEnd Failed(string reason) => AttemptEnd.NewFailed(FSharpValueOption<TimeSpan>.None, reason);

    /// <summary>A client for which one wrong recipient does not cost the others their mail.</summary>
    private sealed class Client : SmtpClient
    {
        private SmtpCommandException? first;

        public Client()
        {
            CheckCertificateRevocation = false;
            LocalDomain = "localhost";
        }

        /// <summary>The recipients that were refused, with the answer.</summary>
        public List<string> Refusals { get; } = [];

        protected override void OnRecipientNotAccepted(MimeMessage message, MailboxAddress mailbox, SmtpResponse response)
        {
            var refusal = new SmtpCommandException(
                SmtpErrorCode.RecipientNotAccepted, response.StatusCode, mailbox, $"{mailbox.Address}: {response.Response}");

            // What is temporary decides: all of it is tried again where nobody was accepted.
            if (first is null || (int)response.StatusCode < 500)
            {
                first = refusal;
            }

            Refusals.Add($"{mailbox.Address} ({(int)response.StatusCode} {response.Response})");
        }

        protected override void OnNoRecipientsAccepted(MimeMessage message) => throw first!;
    }
}
