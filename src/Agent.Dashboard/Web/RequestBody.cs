using System.Buffers;
using System.IO.Compression;
using Agent.Receiver;

namespace Agent.Dashboard.Web;

/// <summary>A request's body in memory, from a pool; give it back by disposing of it.</summary>
/// <param name="Status">200, or the status to refuse with.</param>
/// <param name="Error">Why it is refused.</param>
/// <param name="Detail">What varies about that.</param>
internal sealed record RequestBody(byte[] Buffer, int Length, int Status, string Error, string Detail) : IDisposable
{
    private const int TooLarge = StatusCodes.Status413PayloadTooLarge;

    /// <summary>Bodies this large are rare, and few at a time may be in memory.</summary>
    private const int LargeBody = 65536;

    private static readonly SemaphoreSlim LargeBodies = new(8);

    /// <summary>The bytes.</summary>
    public ReadOnlyMemory<byte> Bytes => Buffer.AsMemory(0, Length);

    /// <summary>Reads it, chunked or not, gzip or not. Larger than the longest body it is refused.</summary>
    public static async Task<RequestBody> Read(HttpContext context)
    {
        var request = context.Request;
        var encoding = request.Headers.ContentEncoding.ToString().Trim();
        var isGzip = encoding.Equals("gzip", StringComparison.OrdinalIgnoreCase)
            || encoding.Equals("x-gzip", StringComparison.OrdinalIgnoreCase);

        if (!isGzip && encoding.Length > 0 && !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase))
        {
            return Refused(
                StatusCodes.Status415UnsupportedMediaType, "Content-Encoding is not known.", $"\"{encoding}\": send gzip, or none");
        }

        if (request.ContentLength > IntakeModule.longestBody)
        {
            return IsTooLarge();
        }

        var expected = (int?)request.ContentLength is { } length and <= LargeBody && !isGzip ? length : -1;

        if (expected >= 0)
        {
            return await Read(request.Body, expected, context.RequestAborted);
        }

        await LargeBodies.WaitAsync(context.RequestAborted);

        try
        {
            using var unzipped = isGzip ? new GZipStream(request.Body, CompressionMode.Decompress) : null;
            return await Read(unzipped ?? request.Body, 16384, context.RequestAborted);
        }
        catch (InvalidDataException damaged)
        {
            return Refused(StatusCodes.Status400BadRequest, "Body is not gzip.", damaged.Message);
        }
        finally
        {
            LargeBodies.Release();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => ArrayPool<byte>.Shared.Return(Buffer);

    private static RequestBody Refused(int status, string error, string detail) => new([], 0, status, error, detail);

    private static RequestBody IsTooLarge() =>
        Refused(TooLarge, "Body is too large.", $"at most {IntakeModule.longestBody} bytes, compressed or not");

    private static async Task<RequestBody> Read(Stream body, int expected, CancellationToken stop)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(Math.Max(1, expected));
        var length = 0;

        while (true)
        {
            if (length == buffer.Length)
            {
                if (length > IntakeModule.longestBody)
                {
                    ArrayPool<byte>.Shared.Return(buffer);
                    return IsTooLarge();
                }

                var larger = ArrayPool<byte>.Shared.Rent(buffer.Length * 2);
                buffer.AsSpan().CopyTo(larger);
                ArrayPool<byte>.Shared.Return(buffer);
                buffer = larger;
            }

            var read = await body.ReadAsync(buffer.AsMemory(length), stop);

            if (read == 0)
            {
                break;
            }

            length += read;
        }

        if (length > IntakeModule.longestBody)
        {
            ArrayPool<byte>.Shared.Return(buffer);
            return IsTooLarge();
        }

        return new RequestBody(buffer, length, StatusCodes.Status200OK, "", "");
    }
}
