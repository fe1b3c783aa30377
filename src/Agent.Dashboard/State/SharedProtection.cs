using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.DataProtection;

namespace Agent.Dashboard.State;

/// <summary>
/// Protects what a log-in by a provider has on its way, with a key that all dashboards of a state have: one that was begun at one can end at another. AES-GCM
/// with a key for each purpose, by HKDF (RFC 5869).
/// </summary>
internal sealed class SharedProtection : IDataProtectionProvider, IDataProtector
{
    private const int NonceBytes = 12;
    private const int TagBytes = 16;
    private const int KeyBytes = 32;

    private readonly byte[] key;

    /// <summary>With a key of 32 random bytes, which is used for nothing else as it is.</summary>
    public SharedProtection(byte[] master)
        : this(master, "log-ins by a provider")
    {
    }

    private SharedProtection(byte[] parent, string purpose) =>
        key = HKDF.DeriveKey(HashAlgorithmName.SHA256, parent, KeyBytes, info: Encoding.UTF8.GetBytes(purpose));

    /// <inheritdoc/>
    public IDataProtector CreateProtector(string purpose) => new SharedProtection(key, purpose);

    /// <inheritdoc/>
    public byte[] Protect(byte[] plaintext)
    {
        var text = new byte[NonceBytes + TagBytes + plaintext.Length];
        var nonce = text.AsSpan(0, NonceBytes);
        RandomNumberGenerator.Fill(nonce);
        using var cipher = new AesGcm(key, TagBytes);
        cipher.Encrypt(nonce, plaintext, text.AsSpan(NonceBytes + TagBytes), text.AsSpan(NonceBytes, TagBytes));
        return text;
    }

    /// <inheritdoc/>
    /// <exception cref="CryptographicException">It was not protected with this key for this purpose.</exception>
    public byte[] Unprotect(byte[] protectedData)
    {
        if (protectedData.Length < NonceBytes + TagBytes)
        {
            throw new CryptographicException("too short");
        }

        var text = new byte[protectedData.Length - NonceBytes - TagBytes];
        using var cipher = new AesGcm(key, TagBytes);
        cipher.Decrypt(
            protectedData.AsSpan(0, NonceBytes),
            protectedData.AsSpan(NonceBytes + TagBytes),
            protectedData.AsSpan(NonceBytes, TagBytes),
            text);
        return text;
    }
}
