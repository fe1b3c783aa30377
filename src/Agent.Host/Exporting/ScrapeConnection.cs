using System.Buffers;
using System.Net.Sockets;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;

namespace Agent.Host.Exporting;

/// <summary>One client of the metrics. Its socket never blocks.</summary>
/// <param name="socket">The connection.</param>
/// <param name="now">The monotonic clock.</param>
internal sealed class ScrapeConnection(Socket socket, TimeSpan now) : IDisposable
{
    /// <summary>A request must have arrived whole after this time, and an answer must have left.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>A connection may be silent for so long between two requests; scrape intervals are mostly shorter.</summary>
    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(2);

    private readonly byte[] received = new byte[Scrape.LongestRequest];
    private ArrayBufferWriter<byte>? answer;
    private int count;
    private int sent;
    private bool isLast;

    /// <summary>The connection.</summary>
    public Socket Socket => socket;

    /// <summary>True while an answer is on its way.</summary>
    public bool IsSending => answer is not null;

    /// <summary>When the connection ends unless something happens.</summary>
    public TimeSpan Until { get; private set; } = now + Patience;

    /// <summary>Receives or sends what can be without waiting; false when the connection is over.</summary>
    public bool GoOn(ScrapeAnswers answers, TimeSpan now)
    {
        try
        {
            return (IsSending || (Receive(now) && Answer(answers, now))) && (!IsSending || Send(answers, now));
        }
        catch (SocketException error)
        {
            return error.SocketErrorCode == SocketError.WouldBlock;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        socket.Dispose();
        answer = null;
    }

    private bool Receive(TimeSpan now)
    {
        var length = socket.Receive(received.AsSpan(count));

        // The first byte of a request starts its time.
        Until = count == 0 ? now + Patience : Until;
        count += length;
        return length > 0;
    }

    private bool Answer(ScrapeAnswers answers, TimeSpan now)
    {
        (answer, var length, isLast) = answers.To(received.AsSpan(0, count));

        if (answer is not null)
        {
            received.AsSpan(length, count - length).CopyTo(received);
            count -= length;
            sent = 0;
            Until = now + Patience;
        }

        return true;
    }

    private bool Send(ScrapeAnswers answers, TimeSpan now)
    {
        while (answer is not null)
        {
            sent += socket.Send(answer.WrittenSpan[sent..]);

            if (sent < answer.WrittenCount)
            {
                continue;
            }

            answers.Done(answer);
            answer = null;

            if (isLast)
            {
                return false;
            }

            Until = now + LongestPause;

            // Requests that came behind the one that is answered now.
            Answer(answers, now);
        }

        return true;
    }
}
