using System.Buffers;
using System.IO.Compression;
using System.Text;
using Agent.Core;
using Agent.Outbound;
using Agent.Sender;
using Microsoft.FSharp.Core;

namespace Agent.Host.Exporting;

/// <summary>Answers the requests of the metrics endpoint, on its thread alone.</summary>
/// <param name="machine">The newest reading of the machine; none before the first.</param>
/// <param name="agent">The state of the agent at this moment.</param>
/// <param name="job">What the GPU time of a scheduler's job went into; none where it is not known.</param>
/// <param name="age">How old the newest reading is; infinite before the first.</param>
/// <param name="interval">From one sample to the next.</param>
/// <param name="token">The token that clients must show; null where none is wanted.</param>
/// <param name="refreshToken">Reads the token again; true when it has changed.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class ScrapeAnswers(
    Func<FSharpValueOption<MachineReading>> machine,
    Func<AgentState> agent,
    Func<string, FSharpValueOption<JobTotals>> job,
    Func<TimeSpan> age,
    TimeSpan interval,
    Func<Secret>? token,
    Func<bool> refreshToken,
    AgentClock clock)
{
    private const string PlainText = "text/plain; charset=utf-8";
    private const string Json = "application/json";

    /// <summary>The shortest time between two readings of the file because of a wrong token.</summary>
    private static readonly TimeSpan RefreshPeriod = TimeSpan.FromSeconds(1);

    private readonly ArrayBufferWriter<byte> body = new(16 * 1024);
    private readonly MemoryStream compressed = new();
    private ArrayBufferWriter<byte>? spare;
    private TimeSpan? refreshedAt;

    /// <summary>
    /// The answer to the first request of what was received, the length of that request, and whether the connection ends
    /// with it; no answer while the request is not whole.
    /// </summary>
    public (ArrayBufferWriter<byte>? Answer, int Length, bool IsLast) To(ReadOnlySpan<byte> received)
    {
        var length = received.Length;

        return Scrape.Read(received).Match<(ArrayBufferWriter<byte>?, int, bool)>(
            incomplete: static () => (null, 0, false),
            request: request => (To(request), request.Length, !request.KeepsAlive),
            bad: (status, reason) => (Sentence(status, reason, isHead: false, keepsAlive: false), length, true));
    }

    /// <summary>Takes back an answer that was sent, for the next one to be written into.</summary>
    public void Done(ArrayBufferWriter<byte> answer) => spare = answer;

    private ArrayBufferWriter<byte> To(ScrapeRequest request)
    {
        if (request.Path.IsHealth)
        {
            return Scrape.IsHealthy(interval, age())
                ? Sentence(200, "ok", request.IsHead, request.KeepsAlive)
                : Sentence(503, "no sample was taken recently", request.IsHead, request.KeepsAlive);
        }

        if (!IsAllowed(request))
        {
            return Sentence(401, Scrape.Refused, request.IsHead, request.KeepsAlive);
        }

        if (request.Path is { IsJob: true } path)
        {
            return OfJob(path.id, path.isJson, request);
        }

        if (request.Path.IsOther)
        {
            return Sentence(404, Scrape.Directory, request.IsHead, request.KeepsAlive);
        }

        body.ResetWrittenCount();
        Exposition.Write(body, request.Format, machine(), agent());
        return request.TakesGzip
            ? Whole(200, request.Format.ContentType, Compressed(), isGzip: true, request.IsHead, request.KeepsAlive)
            : Whole(200, request.Format.ContentType, body.WrittenSpan, isGzip: false, request.IsHead, request.KeepsAlive);
    }

    private ArrayBufferWriter<byte> OfJob(string id, bool isJson, ScrapeRequest request)
    {
        if (job(id) is not { IsSome: true, Value: var totals })
        {
            return Sentence(404, Unknown(id), request.IsHead, request.KeepsAlive);
        }

        body.ResetWrittenCount();
        body.Write(Encoding.UTF8.GetBytes(isJson ? JobTotalsModule.Json(totals) : JobTotalsModule.Text(totals)));
        return Whole(200, isJson ? Json : PlainText, body.WrittenSpan, isGzip: false, request.IsHead, request.KeepsAlive);
    }

    private static string Unknown(string id) => $"no job {id} held a GPU while this agent ran, or it ended more than an hour ago";

    private bool IsAllowed(ScrapeRequest request)
    {
        if (token is null || Scrape.IsAllowed(token(), request.Bearer))
        {
            return true;
        }

        if (request.Bearer.Length == 0 || (refreshedAt is { } at && clock.Elapsed - at < RefreshPeriod))
        {
            return false;
        }

        refreshedAt = clock.Elapsed;
        return refreshToken() && Scrape.IsAllowed(token(), request.Bearer);
    }

    private ArrayBufferWriter<byte> Sentence(int status, string sentence, bool isHead, bool keepsAlive)
    {
        body.ResetWrittenCount();
        body.Write(Encoding.UTF8.GetBytes(sentence + "\n"));
        return Whole(status, PlainText, body.WrittenSpan, isGzip: false, isHead, keepsAlive);
    }

    private ReadOnlySpan<byte> Compressed()
    {
        compressed.SetLength(0);

        using (var gzip = new GZipStream(compressed, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(body.WrittenSpan);
        }

        return compressed.GetBuffer().AsSpan(0, (int)compressed.Length);
    }

    private ArrayBufferWriter<byte> Whole(
        int status, string contentType, ReadOnlySpan<byte> content, bool isGzip, bool isHead, bool keepsAlive)
    {
        var answer = spare ?? new ArrayBufferWriter<byte>(16 * 1024);
        spare = null;
        answer.ResetWrittenCount();
        answer.Write(Scrape.Head(status, contentType, isGzip, content.Length, keepsAlive));

        if (!isHead)
        {
            answer.Write(content);
        }

        return answer;
    }
}
